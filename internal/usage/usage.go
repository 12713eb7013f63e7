// Package usage words what is wrong with a command line, for both programs: what, why, and a way out, in one sentence.
package usage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Execute runs a program's command line, with the help and completion of this package in place of cobra's.
func Execute(ctx context.Context, root *cobra.Command) error {
	noHelp := help(root)
	completion(root)
	if err := root.ExecuteContext(ctx); err != nil {
		return err
	}
	return noHelp()
}

// Flags words cobra's errors about flags; it is for SetFlagErrorFunc.
func Flags(cmd *cobra.Command, err error) error {
	var (
		none     *pflag.NotExistError
		valued   *pflag.ValueRequiredError
		value    *pflag.InvalidValueError
		syntax   *pflag.InvalidSyntaxError
		helpText = cmd.CommandPath() + " --help"
	)
	switch {
	case errors.As(err, &none):
		return fmt.Errorf("%s flag %s: `%s` lists them", no(cmd), noFlag(none), helpText)
	case errors.As(err, &valued):
		return fmt.Errorf("--%s needs a value: `%s` says which", valued.GetFlag().Name, helpText)
	case errors.As(err, &value):
		return fmt.Errorf("--%s %q: %s", value.GetFlag().Name, value.GetValue(), want(value))
	case errors.As(err, &syntax):
		return fmt.Errorf("%q is no flag: `%s` lists them", syntax.GetSpecifiedFlag(), helpText)
	}
	return err
}

// name is a command's name below the program's, which every message begins with: "lab shell".
func name(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return cmd.Name()
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().CommandPath()+" ")
}

// no begins a sentence about what a command does not have.
func no(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "there is no"
	}
	return name(cmd) + " has no"
}

// noFlag is a flag that does not exist, as it was written: --nope, or the letter of a group of short ones.
func noFlag(e *pflag.NotExistError) string {
	if group := e.GetSpecifiedShortnames(); group != "" {
		return fmt.Sprintf("-%c", []rune(e.GetSpecifiedName())[0])
	}
	return "--" + e.GetSpecifiedName()
}

// want says what a flag's value must be. Our own values say it themselves; for pflag's, whose errors are strconv's,
// their types do.
func want(e *pflag.InvalidValueError) string {
	switch e.GetFlag().Value.Type() {
	case "bool":
		return "write true or false, or the flag alone"
	case "int", "int64":
		return "write a whole number"
	case "uint32", "uint64":
		return "write a whole number, 0 or more"
	case "duration":
		return "write a time such as 30s or 5m"
	}
	return e.Unwrap().Error()
}

// Between is for commands that take least to most arguments; what names them, as in "one CODE".
func Between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("%s needs %s: `%s --help` shows how", name(cmd), what, cmd.CommandPath())
		case len(args) > most:
			return fmt.Errorf("%s takes %s, and %q is one more: `%s --help` shows how", name(cmd), what, args[most], cmd.CommandPath())
		}
		return nil
	}
}

// None is for commands that take no argument.
func None(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no argument, and %q is one: `%s --help` shows how", name(cmd), args[0], cmd.CommandPath())
}

// Verb is for commands that only hold others: it refuses a name that is no verb and says which may have been meant.
func Verb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	head := fmt.Sprintf("%s verb %q: ", no(cmd), args[0])
	cmd.SuggestionsMinimumDistance = max(cmd.SuggestionsMinimumDistance, 2) // cobra's own default, which only its root gets
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return errors.New(head + "did you mean " + strings.Join(near, " or ") + "?")
	}
	return fmt.Errorf("%s`%s --help` lists them", head, cmd.CommandPath())
}

// help makes the help of verbs that do not exist an error: cobra prints its parent's help for them, as if all were well.
// Both `weir nope --help` and `weir help nope` are wrong in that way. What it found is in the error that the returned
// function gives after the command has run.
func help(root *cobra.Command) func() error {
	var wrong error
	show := root.HelpFunc()
	checked := func(cmd *cobra.Command, args []string) {
		if cmd.HasSubCommands() {
			if wrong = Verb(cmd, args); wrong != nil {
				return
			}
		}
		show(cmd, args)
	}
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { checked(cmd, cmd.Flags().Args()) })
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [VERB]",
		Short: "Help about a verb",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			cmd.InitDefaultHelpFlag()
			checked(cmd, rest)
			return nil
		},
	})
	return func() error { return wrong }
}

// completion makes cobra's completion command refuse what is no shell, and a command line that names none.
func completion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Args = Between(1, 1, "one shell")
		cmd.RunE = Verb
		for _, shell := range cmd.Commands() {
			shell.Args = None
		}
	}
}
