package usage

import (
	"io"
	"testing"

	"github.com/spf13/cobra"
)

// program is a small one of every kind of command.
func program() *cobra.Command {
	run := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "prog", SilenceErrors: true, SilenceUsage: true, SuggestionsMinimumDistance: 2, Args: Verb, RunE: run}
	root.SetFlagErrorFunc(Flags)
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	check := &cobra.Command{Use: "check [PATH]", Args: Between(0, 1, "at most one PATH"), RunE: run}
	check.Flags().IntP("number", "x", 1, "")
	check.Flags().Uint32("rate", 1, "")
	check.Flags().Duration("wait", 1, "")
	check.Flags().Bool("strict", false, "")
	lab := &cobra.Command{Use: "lab", Args: Verb, RunE: run}
	lab.AddCommand(&cobra.Command{Use: "down", Args: None, RunE: run}, &cobra.Command{Use: "shell NAME", Args: Between(1, 9, "the NAME of a pod"), RunE: run})
	root.AddCommand(check, lab)
	return root
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"chek"}, `there is no verb "chek": did you mean check?`},
		{[]string{"chek", "--help"}, `there is no verb "chek": did you mean check?`},
		{[]string{"help", "chek"}, `there is no verb "chek": did you mean check?`},
		{[]string{"format"}, "there is no verb \"format\": `prog --help` lists them"},
		{[]string{"lab", "dwn"}, `lab has no verb "dwn": did you mean down?`},
		{[]string{"lab", "dwn", "--help"}, `lab has no verb "dwn": did you mean down?`},
		{[]string{"help", "lab", "dwn"}, `lab has no verb "dwn": did you mean down?`},
		{[]string{"--nope"}, "there is no flag --nope: `prog --help` lists them"},
		{[]string{"check", "--nope"}, "check has no flag --nope: `prog check --help` lists them"},
		{[]string{"check", "-xz"}, "--number \"z\": write a whole number"},
		{[]string{"check", "-z"}, "check has no flag -z: `prog check --help` lists them"},
		{[]string{"check", "--number"}, "--number needs a value: `prog check --help` says which"},
		{[]string{"check", "--rate=-1"}, `--rate "-1": write a whole number, 0 or more`},
		{[]string{"check", "--wait", "1"}, `--wait "1": write a time such as 30s or 5m`},
		{[]string{"check", "--strict=maybe"}, `--strict "maybe": write true or false, or the flag alone`},
		{[]string{"check", "---x"}, "\"---x\" is no flag: `prog check --help` lists them"},
		{[]string{"check", "a", "b"}, "check takes at most one PATH, and \"b\" is one more: `prog check --help` shows how"},
		{[]string{"lab", "shell"}, "lab shell needs the NAME of a pod: `prog lab shell --help` shows how"},
		{[]string{"lab", "down", "x"}, "lab down takes no argument, and \"x\" is one: `prog lab down --help` shows how"},
		{[]string{"completion"}, "completion needs one shell: `prog completion --help` shows how"},
		{[]string{"completion", "elvish-shell"}, "completion has no verb \"elvish-shell\": `prog completion --help` lists them"},
		{[]string{"completion", "bash", "x"}, "completion bash takes no argument, and \"x\" is one: `prog completion bash --help` shows how"},
		{[]string{"help", "check"}, ""},
		{[]string{"lab", "--help"}, ""},
		{[]string{"lab", "shell", "web", "--help"}, ""},
		{[]string{"--help"}, ""},
		{[]string{"help"}, ""},
		{[]string{"completion", "bash"}, ""},
	} {
		root := program()
		root.SetArgs(c.args)
		got := ""
		if err := Execute(t.Context(), root); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q:\n%s\nwant\n%s", c.args, got, c.want)
		}
	}
}
