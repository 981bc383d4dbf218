package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

// A duration is the value of a flag that is a time.
type duration time.Duration

// timeVar adds a flag whose default is what d has.
func timeVar(cmd *cobra.Command, d *time.Duration, name, usage string) {
	cmd.Flags().Var((*duration)(d), name, usage)
}

func (d *duration) String() string {
	if *d == 0 {
		return "0"
	}
	return time.Duration(*d).String()
}
func (d *duration) Type() string { return "TIME" }

// Set refuses what is not a time, a number without unit too.
func (d *duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("it is a time with its unit, such as 30s, 5m or 1h30m")
	}
	*d = duration(v)
	return nil
}
