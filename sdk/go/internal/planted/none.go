//go:build !callboard_defects

package planted

import "fmt"

// Has says whether the SDK has the defect.
func Has(Defect) bool { return false }

// Plant gives the SDK a defect, in a build that can have one.
func Plant(name string) error {
	return fmt.Errorf("this build has no defects, so not %q either: build with -tags callboard_defects", name)
}
