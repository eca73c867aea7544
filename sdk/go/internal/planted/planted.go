//go:build callboard_defects

package planted

import (
	"fmt"
	"slices"
)

var all = []Defect{ReceiptIgnored, ReportForgotten, CancellationIgnored, AssignmentRunTwice, ChildKeyPerAttempt, SlotHeldWhileWaiting, RunsNotAskedAgain, SilentWhileDraining, NoReattach}

// has is the process's: it is planted before the first agent is made.
var has Defect

// Has says whether the SDK has the defect.
func Has(defect Defect) bool { return has == defect }

// Plant gives the SDK a defect, until the process ends or another is planted. An empty name takes it away.
func Plant(name string) error {
	if name != "" && !slices.Contains(all, Defect(name)) {
		return fmt.Errorf("the SDK can't have the defect %q: %q are known", name, all)
	}
	has = Defect(name)
	return nil
}
