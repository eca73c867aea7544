"""The conformance suite's driver of this SDK: plays agents and clients through its public API, as lines on
standard input say. Its contract is `tests/conformance/DRIVER.md`."""
