# bash completion for the mad-* tools and run-preemptible: options, subcommands and fixed
# values as the tool's own --help lists them, file names otherwise.
# shellcheck shell=bash

# Whether the option $1 takes a value, by the help in `help`.
_mad_takes_value() {
  [[ $1 =~ ^--?[a-zA-Z][a-z0-9-]*$ ]] &&
    grep -qE -- "^ +(-[a-zA-Z], ?)?$1(, ?--[a-z0-9-]+)? [^ (]" <<<"$help"
}

# The values of the option $2 of the tool $1, where they are a fixed set.
_mad_values() {
  case ${1##*/}:$2 in
    mad-fetch:--durability) echo full none ;;
    mad-watch:--on) echo preemption rebalance maintenance ;;
    *:--*)
      sed -nE "s/^ +${2//[^a-z0-9-]/} [A-Z]+:\{([^}]*)\}.*/\1/p" <<<"$help" | tr , ' '
      ;;
  esac
}

_mad_tools() {
  local tool=$1 current=$2 previous=${COMP_WORDS[COMP_CWORD-1]}
  local help word words='' subcommand='' value=''
  COMPREPLY=()
  help=$("$tool" --help 2>/dev/null)
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    # What stands after -- belongs to the command that will be run.
    [[ $word == -- ]] && return
    if [[ $word == = ]]; then # of --option=VALUE, a word of its own
      value=yes
    elif [[ -n $value ]]; then
      value=''
    elif [[ $word == -* ]]; then
      _mad_takes_value "$word" && value=yes
    elif [[ $tool == *run-preemptible ]]; then
      return
    elif [[ $tool == *mad-manifest && -z $subcommand ]]; then
      subcommand=$word
      help+=$'\n'$("$tool" "$subcommand" --help 2>/dev/null)
    fi
  done
  if [[ $current == = ]]; then
    current='' value=yes
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if [[ -n $value ]]; then
    words=$(_mad_values "$tool" "$previous")
  elif [[ $current == -* ]]; then
    words=$(grep -oE -- '(^|[ ,])--?[a-zA-Z][a-z0-9-]*' <<<"$help" | tr -d ' ,' | sort -u)
  elif [[ $tool == *mad-manifest && -z $subcommand ]]; then
    words=$(sed -nE '/^Subcommands:/,$s/^  ([a-z]+) .*/\1/p' <<<"$help")
  fi
  # Of a list with commas, as of mad-watch --on, the last one.
  mapfile -t COMPREPLY < <(
    compgen -P "${current%"${current##*,}"}" -W "$words" -- "${current##*,}")
}

complete -o default -F _mad_tools mad-snapshot mad-manifest mad-verify mad-fetch mad-push mad-resume mad-list mad-prune mad-watch run-preemptible
