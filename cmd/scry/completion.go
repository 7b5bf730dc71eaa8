package main

import (
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"scry/internal/config"
)

// completeConfig completes the flags of configFlags: files in YAML, and keys with what
// may follow them. It panics where the flags are not registered.
func completeConfig(cmd *cobra.Command) {
	err := cmd.MarkFlagFilename("config", "yaml", "yml")
	if err == nil {
		err = cmd.RegisterFlagCompletionFunc("set", completeKey)
	}
	if err != nil {
		panic(err)
	}
}

// completeKey completes KEY=VALUE: the key, and the value where it is one of a few.
func completeKey(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var offers []string
	key, _, valued := strings.Cut(typed, "=")
	for _, k := range config.Keys(DefaultConfig()) {
		switch {
		case k.Section:
		case !valued:
			offers = append(offers, k.Path+"=")
		case k.Path == key:
			for _, value := range values(k) {
				offers = append(offers, key+"="+value)
			}
		}
	}
	if valued {
		return offers, cobra.ShellCompDirectiveNoFileComp
	}
	return offers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// values are what a key may be set to, nil where that is open.
func values(k config.Key) []string {
	if k.Field.Type.Kind() == reflect.Bool {
		return []string{"true", "false"}
	}
	if few := k.Field.Tag.Get("enum"); few != "" {
		return strings.Split(strings.TrimPrefix(few, ","), ",")
	}
	return nil
}
