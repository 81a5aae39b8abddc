# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Reads a sweep description: the part of YAML that a sweep needs, so that no other program is needed to read it. A line is one of
#   key: value      key: [a, b, c]      key:  with lines "- value" below      # comment
# and everything else is a mistake with its place. Any YAML reader understands such a file in the same way. Sourced by scripts/sweep.sh.
# shellcheck disable=SC2154,SC2034  # value, given, given_settings, mistakes

sweep_list_keys=" tasks attention seeds devices set " sweep_scalar_keys=" out configs device jobs "

# scalar PLACE TEXT: sets `scalar` to the value that TEXT means.
scalar() {
  local place=$1 text=$2
  scalar=""
  case $text in
    \"*\" | \'*\')
      scalar=${text:1:-1}
      if [[ $scalar == *[\"\'\\]* ]]; then
        mistakes+=("$place: quotes and backslashes inside quotes are not understood: $text")
      fi ;;
    *': '* | *: | *' #'* | [\"\'\[\]\{\}\&\*\!\|\>%@\`,?]* | '- '* | -)
      mistakes+=("$place: '$text' means something else in YAML: put it in quotes, or leave it out") ;;
    *) scalar=$text ;;
  esac
}

# take PLACE KEY TEXT: one value of the key.
take() {
  local place=$1 key=$2
  scalar "$place" "$3"
  [[ -n $scalar ]] || { [[ -z $3 || $3 == \"\" || $3 == "''" ]] && mistakes+=("$place: $key: an empty value"); return 0; }
  if [[ $key == set ]]; then
    [[ $scalar == *=* ]] || mistakes+=("$place: set: '$scalar' is not KEY=VALUE")
    file_settings+=("$scalar")
  elif [[ $sweep_list_keys == *" $key "* ]]; then
    [[ $scalar != *[\ ,]* ]] || mistakes+=("$place: $key: '$scalar': one name an entry, without blanks and commas")
    file_value[$key]+=" $scalar"
  else
    file_value[$key]=$scalar
  fi
}

# take_line PLACE LINE. `key` is the one whose entries may follow, `lines_of` its place where none has followed yet.
take_line() {
  local place=$1 line=$2 rest item
  if [[ $line =~ ^[[:blank:]]*(#.*)?$ ]]; then
    return
  elif [[ $line == *$'\t'* || $line == *$'\r'* ]]; then
    mistakes+=("$place: a tab or a carriage return; use blanks, and lines that end as on Unix")
    return
  fi
  if [[ $line =~ ^([^\"\'#]*(\"[^\"]*\"|\'[^\']*\'|[^\"\'\ ]))\ +#.*$ ]]; then line=${BASH_REMATCH[1]}; fi
  line=${line%"${line##*[! ]}"}
  if [[ $line =~ ^\ *-\ +(.*)$ && -n $key ]]; then
    rest=${BASH_REMATCH[1]}
    lines_of=""
    take "$place" "$key" "$rest"
  elif [[ $line =~ ^([A-Za-z_]+):(\ +(.*))?$ ]]; then
    no_entries
    key=${BASH_REMATCH[1]} rest=${BASH_REMATCH[3]}
    start_key "$place" || { key=skip; return 0; }
    if [[ -z $rest ]]; then
      lines_of=$place
      return
    elif [[ $rest =~ ^\[(.*)\]$ && $sweep_list_keys == *" $key "* ]]; then
      IFS=, read -r -a items <<<"${BASH_REMATCH[1]}"
      ((${#items[@]} > 0)) || mistakes+=("$place: $key: an empty list")
      for item in "${items[@]}"; do
        item=${item#"${item%%[! ]*}"}
        take "$place" "$key" "${item%"${item##*[! ]}"}"
      done
    else
      take "$place" "$key" "$rest"
    fi
    key=""
  else
    mistakes+=("$place: not understood: '$line'; a line is 'key: value', 'key: [a, b]', or '- value' below 'key:'")
  fi
}

# start_key PLACE: may `key` stand here? Status 1: what follows it is not looked at.
start_key() {
  if [[ $sweep_list_keys$sweep_scalar_keys != *" $key "* ]]; then
    mistakes+=("$1: unknown key '$key'; known are$sweep_list_keys${sweep_scalar_keys# }")
    return 1
  elif [[ -n ${seen[$key]:-} ]]; then
    mistakes+=("$1: '$key' stands in line ${seen[$key]} already")
    return 1
  fi
  seen[$key]=${1##*:}
}

no_entries() {
  [[ -z $lines_of ]] || mistakes+=("$lines_of: $key: nothing follows")
  lines_of=""
}

# read_sweep_file FILE: into `value` and `settings`. What stands on the command line wins.
read_sweep_file() {
  local file=$1 number=0 line key="" lines_of="" items scalar name
  local -A seen=() file_value=()
  local file_settings=()
  if [[ ! -f $file && -f $root/configs/sweeps/$file ]]; then file=$root/configs/sweeps/$file; fi
  if [[ ! -f $file || ! -r $file ]]; then
    mistakes+=("$file: no such sweep description (nor $root/configs/sweeps/${file##*/})")
    return
  fi
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    if [[ $key == skip && $line =~ ^\ *-\  ]]; then continue; fi
    take_line "$file:$number" "$line"
  done <"$file"
  no_entries
  for name in "${!file_value[@]}"; do value["$name"]=${file_value[$name]# }; done
  given_settings=("${file_settings[@]}" "${given_settings[@]}")
  # One of the two on the command line replaces the other one in the file.
  if [[ -n ${given[device]:-} ]]; then value[devices]=""; elif [[ -n ${given[devices]:-} ]]; then value[device]=""; fi
}
