# bash completion for the mad-* tools: options as the tool's own --help lists them,
# file names otherwise.
# shellcheck shell=bash

_mad_tools() {
  local tool=$1 current=$2 word help
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    # What stands after -- belongs to the command that mad-resume will run.
    [[ $word == -- ]] && return
  done
  help=$("$tool" --help 2>/dev/null)
  if [[ $tool == *mad-manifest && $COMP_CWORD -gt 1 ]]; then
    help+=$("$tool" "${COMP_WORDS[1]}" --help 2>/dev/null)
  fi
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '(^|[ ,])--?[a-zA-Z][a-z0-9-]*' <<<"$help" | tr -d ' ,' | sort -u)" -- "$current")
  elif [[ $tool == *mad-manifest && $COMP_CWORD -eq 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W "write sign show get topology diff recover" -- "$current")
  fi
}

complete -o default -F _mad_tools mad-snapshot mad-manifest mad-verify mad-fetch mad-push mad-resume mad-list mad-prune mad-watch
