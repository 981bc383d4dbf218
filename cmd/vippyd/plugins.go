package main

import "github.com/vippy-ha/vippy/plugin"

// plugins is the one table of plugins that are compiled into this vippyd. The checks of
// the config file aren't here: they are made of it.
var plugins = []plugin.Plugin{}
