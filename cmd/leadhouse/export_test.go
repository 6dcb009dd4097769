package main

// Main is what the binary runs.
var Main = main

// ReadConfig reads a text as the --config file. It returns what is wrong with it, and which settings it gave, each as
// "command/name".
func ReadConfig(text []byte) (problems []string, given []string) {
	all := newCommands()
	pairs, errs := parseConfigFile("file", text, all)
	for _, p := range pairs {
		if err := p.apply(all); err != nil {
			errs = append(errs, err)
		}
	}
	for _, err := range errs {
		problems = append(problems, err.Error())
	}
	for _, c := range all {
		for _, s := range c.settings {
			if s.source.level == fromFile {
				given = append(given, c.name+"/"+s.name)
			}
		}
	}
	return problems, given
}
