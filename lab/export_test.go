package lab

// OpenPTY is for tests that use the lab at a terminal.
var OpenPTY = openPTY
