// Package script is what the host tells the guest to do: the modules to load and the commands to run.
package script

// Path is where the guest finds its script, as JSON.
const Path = "/script.json"

// Script is what the guest does, in order.
type Script struct {
	// Modules are files of kernel modules; what one needs stands before it.
	Modules []string
	Jobs    []Job
}

// Job is a command that the guest runs.
type Job struct {
	Name string
	Dir  string
	// Args is the command; its first word is a path.
	Args []string
	Env  []string
	// Exit is the code that it has to end with.
	Exit int
	// Says is a regular expression that its output has to match; empty for any.
	Says string
	// Tests says that it is a test binary, of which at least one test has to pass; Skips is a regular expression of the
	// reason with which its tests may be skipped, empty for none.
	Tests bool
	Skips string
}

// Marker begins a line of the guest's own; everything else on the console is the kernel's and the jobs'.
const Marker = "floor: "

// End is the guest's last line, after Marker: how many jobs ended as they had to, and how many did not.
const End = "%d jobs as they should, %d not"
