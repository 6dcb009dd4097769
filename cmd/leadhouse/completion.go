package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Completion is done by the program itself: the shell's script calls it with what has been typed and the hidden flag
// --generate-bash-completion, and it prints one candidate a line.

// complete prints the flags of a command, or the words that may follow a flag.
func (c *command) complete(cc *cli.Context) {
	// The script passes the word under the cursor only if it begins with a dash, so the last one is that, or the flag before.
	last := ""
	if len(os.Args) > 2 {
		last = os.Args[len(os.Args)-2]
	}
	found := c.settings.named(strings.TrimPrefix(last, "--"))
	if strings.HasPrefix(last, "--") && len(found) > 0 && !found[0].value.isToggle() {
		for _, word := range found[0].value.words {
			fmt.Fprintln(cc.App.Writer, word)
		}
		return // when nothing is printed, the shell offers files
	}
	cli.DefaultCompleteWithFlags(cc.Command)(cc)
}

func completionCommand() *cli.Command {
	shells := slices.Sorted(maps.Keys(completionScripts))
	return &cli.Command{
		Name:               "completion",
		Usage:              "print a script that completes commands and flags in " + strings.Join(shells, ", "),
		HideHelpCommand:    true,
		CustomHelpTemplate: completionHelp,
		OnUsageError:       usageError,
		BashComplete: func(c *cli.Context) {
			for _, s := range shells {
				fmt.Fprintln(c.App.Writer, s)
			}
		},
		Action: func(c *cli.Context) error {
			script, ok := completionScripts[c.Args().First()]
			if !ok || c.Args().Len() != 1 {
				return misuse("leadhouse completion", "want the name of a shell: "+strings.Join(shells, ", "))
			}
			fmt.Fprint(c.App.Writer, script)
			return nil
		},
	}
}

const completionHelp = `leadhouse completion: print a script that completes commands and flags

Usage:
  leadhouse completion bash|fish|zsh

Examples:
  source <(leadhouse completion bash)                                        # in ~/.bashrc
  leadhouse completion fish > ~/.config/fish/completions/leadhouse.fish
  leadhouse completion zsh > "${fpath[1]}/_leadhouse"                        # then start a new shell
`

var completionScripts = map[string]string{
	"bash": `# bash completion for leadhouse
_leadhouse() {
  local current="${COMP_WORDS[COMP_CWORD]}"
  local words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  if [[ "$current" == -* ]]; then
    words+=("$current")
  fi
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$current"))
}
complete -o bashdefault -o default -F _leadhouse leadhouse
`,
	"fish": `# fish completion for leadhouse
function __leadhouse_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    if string match -q -- '-*' $current
        set -a words $current
    end
    set -l candidates ($words --generate-bash-completion 2>/dev/null)
    if test (count $candidates) -gt 0
        printf '%s\n' $candidates
    else
        __fish_complete_path $current
    end
end
complete -c leadhouse -f -a '(__leadhouse_complete)'
`,
	"zsh": `#compdef leadhouse
# zsh completion for leadhouse
_leadhouse() {
  local -a typed candidates
  typed=("${(@)words[1,CURRENT-1]}")
  if [[ "${words[CURRENT]}" == -* ]]; then
    typed+=("${words[CURRENT]}")
  fi
  candidates=("${(@f)$("${typed[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n "${candidates[1]}" ]]; then
    compadd -- "${candidates[@]}"
  else
    _files
  fi
}
if [[ "${funcstack[1]}" == _leadhouse ]]; then
  _leadhouse "$@"
else
  compdef _leadhouse leadhouse
fi
`,
}
