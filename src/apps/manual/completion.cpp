// SPDX-License-Identifier: MIT
// --completion: one shell function for a program. Bash splits what is typed at "=" and ":" as well and
// replaces only the part behind; zsh, through its bashcompinit, does neither.
#include <algorithm>

#include "lotformer/core/text.h"
#include "manual.h"

namespace lotformer::manual {
namespace {

// Fills command (of those that the program has), before (the word in front), cur (the word that is being
// typed) and stem (the part of cur in front of an option's "="). Behind an option that takes several values
// (LISTS) each word may be one.
constexpr const char* kReadWords =
    R"(  local cur='' before='' command='' option='' stem='' last='' word words='' i
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $i -gt 1 && ($word == [=:]* || $last == *[=:]) ]]; then
      cur=$cur$word
    else
      case $cur in COMMANDS) command=$cur ;; esac
      case $cur in -*) option=$cur ;; esac
      before=$cur cur=$word
    fi
    last=$word
  done
  case $command:$option in
    LISTS) [[ $cur == -* ]] || before=$option ;;
  esac
  case $cur in
    --*=*) before=${cur%%=*} stem=$before= cur=${cur#*=} ;;
  esac
)";

// A word that ends in "=" wants its value next, so no blank is put behind it. Without a match the shell's own
// completion of files comes in (-o default).
constexpr const char* kReply = R"(  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && type compopt >/dev/null 2>&1; then
    compopt -o nospace
  fi
  if [[ -z ${COMP_WORDBREAKS-} ]]; then
    for i in ${!COMPREPLY[@]+"${!COMPREPLY[@]}"}; do COMPREPLY[i]=$stem${COMPREPLY[i]}; done
  elif [[ $cur == *[=:]* ]]; then
    stem=${cur%"${cur##*[=:]}"}
    for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$stem"}; done
  fi
)";

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const size_t place = text.find(what);
  return place == std::string::npos ? text : text.replace(place, what.size(), by);
}

/// Words of a value, or nothing where it may be anything (then the shell completes files).
std::vector<std::string> words_of(const OptionText& option, const ValueWords& words) {
  if (!option.choices.empty()) return option.choices;
  const auto known = words.find(option.value);
  return known == words.end() ? std::vector<std::string>{} : known->second;
}

std::string assignment(const std::vector<std::string>& words) {
  return "words='" + join(words, " ") + "'";
}

/// KEY=VALUE words come as "train.lr=" and "task=listops": keys first, values once the key stands.
std::string value_branch(const std::vector<std::string>& all) {
  std::vector<std::string> keys, values;
  for (const std::string& word : all) (word.back() == '=' ? keys : values).push_back(word);
  if (keys.empty()) return assignment(values);
  return "if [[ $cur == *=* ]]; then " + assignment(values) + "; else " + assignment(keys) + "; fi";
}

/// "COMMAND:OPTION" of the options that take several values, with " | " behind each.
std::string lists(const CLI::App& app, const std::string& command) {
  std::string text;
  for (const OptionText& option : options_of(app)) {
    if (option.takes_several && !option.is_argument) text += command + ":" + option.names.front() + " | ";
  }
  return text;
}

/// Branches "COMMAND:OPTION)" of one command, and last what may stand anywhere in it.
std::string branches(const CLI::App& app, const std::string& command, const ValueWords& words) {
  std::string text;
  std::vector<std::string> anywhere;
  for (const OptionText& option : options_of(app)) {
    if (option.is_argument) continue;
    anywhere.push_back(option.names.front());
    if (option.value.empty()) continue;
    std::string pattern;
    for (const std::string& name : option.names)
      pattern += (pattern.empty() ? "" : " | ") + command + ":" + name;
    text += "    " + pattern + ") " + value_branch(words_of(option, words)) + " ;;\n";
  }
  for (const CLI::App* inner : commands_of(app)) anywhere.push_back(inner->get_name());
  return text + "    " + command + ":*) " + assignment(anywhere) + " ;;\n";
}

}  // namespace

std::string completion(const CLI::App& app, const std::string& shell, const ValueWords& words) {
  const std::string program = app.get_name();
  std::string function = "_" + program;
  std::replace(function.begin(), function.end(), '-', '_');
  std::vector<std::string> names;
  std::string cases, several = lists(app, "");
  for (const CLI::App* command : commands_of(app)) {
    names.push_back(command->get_name());
    cases += branches(*command, command->get_name(), words);
    several += lists(*command, command->get_name());
  }
  cases += branches(app, "", words);
  return "# Completion of " + program + " for " + shell + ", written by `" + program + " --completion " +
         shell + "`.\n" + (shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "") + function +
         "() {\n" +
         replaced(replaced(kReadWords, "COMMANDS", names.empty() ? "''" : join(names, " | ")), "LISTS",
                  several + "''") +
         "  case $command:$before in\n" + cases + "  esac\n" + kReply + "}\ncomplete -o default -F " +
         function + " " + program + "\n";
}

}  // namespace lotformer::manual
