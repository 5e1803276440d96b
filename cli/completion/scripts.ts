/** What `pgxa completion` prints: each asks `pgxa __complete` for what can stand there. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** A candidate, a tab, its description: __complete writes no other tabs and no other line ends. */
const BASH = `# pgxa completion for bash. Try it: eval "$(pgxa completion bash)"
_pgxa() {
  local IFS=$'\\n' line current=\${COMP_WORDS[COMP_CWORD]}
  # Bash takes = and : for ends of words; here they are part of one.
  local typed=\${COMP_LINE:0:COMP_POINT} words
  IFS=$' \\t\\n' read -ra words <<< "$typed"
  [[ $typed == *[[:space:]] ]] && words+=('')
  current=\${words[\${#words[@]}-1]}
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <("\${words[0]}" __complete -- "\${words[@]:1}" 2> /dev/null)
  local breaks=\${COMP_WORDBREAKS//[^=:]/} cut=
  [[ $breaks == *=* && $current == *=* ]] && cut=\${current%"\${current##*=}"}
  [[ $breaks == *:* && \${current#"$cut"} == *:* ]] && cut=\${current%"\${current##*:}"}
  local at
  for at in "\${!COMPREPLY[@]}"; do COMPREPLY[at]=\${COMPREPLY[at]#"$cut"}; done
}
complete -o default -F _pgxa pgxa
`;

const ZSH = `#compdef pgxa
# pgxa completion for zsh. Try it: eval "$(pgxa completion zsh)"
_pgxa() {
  local line
  local -a values shown
  while IFS= read -r line; do
    values+=("\${line%%$'\\t'*}")
    if [[ "\${line#*$'\\t'}" == "" ]]; then
      shown+=("\${line%%$'\\t'*}")
    else
      shown+=("\${line%%$'\\t'*}  -- \${line#*$'\\t'}")
    fi
  done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2> /dev/null)
  if (( \${#values} )); then
    compadd -l -d shown -a values
  else
    _files
  fi
}
if [[ "\${funcstack[1]:-}" == _pgxa ]]; then
  _pgxa "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
  compdef _pgxa pgxa
fi
`;

const FISH = `# pgxa completion for fish. Try it: pgxa completion fish | source
function __pgxa_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete -- $words[2..-1] 2> /dev/null
end
complete -c pgxa -f -a '(__pgxa_complete)'
complete -c pgxa -s c -l config -r -F
complete -c pgxa -n '__fish_seen_subcommand_from sandbox' -l dir -r -F
complete -c pgxa -n '__fish_seen_subcommand_from sandbox' -l bin -r -F
`;

export const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
