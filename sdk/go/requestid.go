package callboard

import (
	cryptorand "crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// uuid7 makes a UUID that begins with the time (RFC 9562, 5.7): the server's index of request ids grows at its end.
func uuid7(now time.Time, random [10]byte) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16)
	copy(id[6:], random[:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return hyphenated(id)
}

// uuid4 makes a random UUID.
func uuid4(random [16]byte) string {
	random[6] = random[6]&0x0f | 0x40
	random[8] = random[8]&0x3f | 0x80
	return hyphenated(random)
}

// uuid5 makes the UUID that a name has in a space, which is a UUID itself (RFC 9562, 5.5): the same each time.
func uuid5(space, name string) (string, error) {
	bytes, err := hex.DecodeString(strings.ReplaceAll(space, "-", ""))
	if err == nil && len(bytes) != 16 {
		err = errors.New("a UUID has 32 hexadecimal digits")
	}
	if err != nil {
		return "", err
	}
	digest := sha1.Sum(append(bytes, name...))
	id := [16]byte(digest[:16])
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return hyphenated(id), nil
}

func hyphenated(id [16]byte) string {
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// requestID gives the caller's, or one made up once and kept through all retries.
func requestID(given string) string {
	if given != "" {
		return given
	}
	var random [10]byte
	fillRandom(random[:])
	return uuid7(time.Now(), random)
}

// fillRandom never fails: crypto/rand ends the program when the system has no randomness.
func fillRandom(into []byte) {
	_, _ = cryptorand.Read(into)
}
