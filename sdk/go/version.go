package callboard

// Version is the version of this SDK, which servers are told.
const Version = "0.1.0"
