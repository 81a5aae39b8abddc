// SPDX-License-Identifier: MIT
// --man: a page of section 1, in roff with the man macros.
#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>
#include <vector>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "manual.h"

namespace lotformer::manual {
namespace {

struct ExitStatus {
  int code;
  const char* meaning;
};
constexpr std::array kExitStatuses = {
    ExitStatus{0, "what was asked for is done"},
    ExitStatus{static_cast<int>(ErrorKind::usage), "command line or configuration"},
    ExitStatus{static_cast<int>(ErrorKind::data), "a data file is missing or malformed"},
    ExitStatus{static_cast<int>(ErrorKind::checkpoint),
               "a checkpoint is missing, damaged or of another model"},
    ExitStatus{static_cast<int>(ErrorKind::disk), "something cannot be written: disk, rights"},
    ExitStatus{static_cast<int>(ErrorKind::numerics), "loss or gradients that are not finite"},
    ExitStatus{static_cast<int>(ErrorKind::memory), "out of memory"},
    ExitStatus{static_cast<int>(ErrorKind::device), "no such device, or its driver failed"},
    ExitStatus{static_cast<int>(ErrorKind::internal), "an error of the program"},
    ExitStatus{static_cast<int>(ErrorKind::interrupted), "stopped by a signal; the same command goes on"},
};

/// Text of one line: a backslash or a dash means something to roff, a dot or a quote at the start as well.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  return result.empty() || (result.front() != '.' && result.front() != '\'') ? result : "\\&" + result;
}

/// Running text: source lines of moderate width, as roff's own style wants them.
std::string running(const std::string& text) {
  std::string result;
  for (const std::string& line : wrapped(text, 76)) result += escaped(line) + "\n";
  return result;
}

/// Lines that stay as they are.
std::string verbatim(const std::string& text) {
  std::string result;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) result += escaped(line) + "\n";
  return ".nf\n" + result + ".fi\n";
}

std::string full_meaning(const OptionText& option) {
  std::string text = option.meaning;
  if (!option.choices.empty()) text += (text.empty() ? "" : "; ") + ("one of " + join(option.choices, ", "));
  if (!option.range.empty()) text += (text.empty() ? "" : "; ") + option.range;
  if (!option.standard.empty())
    text += (option.value_is_optional ? " (without a value: " : " (default: ") + option.standard + ")";
  return text + (option.is_required ? " (required)" : "");
}

std::string options_text(const CLI::App& app) {
  std::string text;
  for (const OptionText& option : options_of(app)) {
    const std::string meaning = full_meaning(option);
    text += ".TP\n.B " + escaped(usage_of(option)) + "\n" + running(meaning);
  }
  return text;
}

/// The footer holds the examples below a line "Examples:".
std::string examples_text(const CLI::App& app) {
  const std::string footer = app.get_footer();
  const size_t first = footer.find('\n');
  if (first == std::string::npos) return "";
  return verbatim(footer.substr(first + 1));
}

std::string commands_text(const CLI::App& app) {
  std::string text;
  for (const CLI::App* command : commands_of(app)) {
    const std::string name = app.get_name() + " " + command->get_name();
    text += ".SS " + escaped(usage_of(*command, name)) + "\n" + running(command->get_description()) +
            options_text(*command);
    const std::string examples = examples_text(*command);
    if (!examples.empty()) text += ".PP\nExamples:\n.PP\n" + examples;
  }
  return text.empty() ? text : ".SH COMMANDS\n" + text;
}

std::string first_sentence(const std::string& text) {
  const size_t end = std::min(text.find(". "), text.find('\n'));
  std::string sentence = text.substr(0, std::min(end, text.size()));
  if (!sentence.empty() && sentence.back() == '.') sentence.pop_back();
  if (!sentence.empty())
    sentence[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(sentence[0])));
  return sentence;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::string man_page(const CLI::App& app, const std::string& version) {
  const std::string name = app.get_name();
  std::string text = ".TH \"" + upper(name) + "\" 1 \"\" \"lotformer " + version + "\" \"User Commands\"\n";
  text += ".SH NAME\n" + name + " \\- " + escaped(first_sentence(app.get_description())) + "\n";
  text += ".SH SYNOPSIS\n.B " + escaped(usage_of(app, name)) + "\n";
  text += ".SH DESCRIPTION\n" + running(app.get_description());
  text += ".SH OPTIONS\n" + options_text(app) + commands_text(app);
  const std::string examples = examples_text(app);
  if (!examples.empty()) text += ".SH EXAMPLES\n" + examples;
  text += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : kExitStatuses)
    text += concat(".TP\n.B ", code, "\n", escaped(meaning), "\n");
  text += ".SH SEE ALSO\n";
  std::vector<std::string> others;
  for (const char* other : {"bench", "data", "doctor", "eval", "report", "train"}) {
    if (name != std::string("lotformer-") + other)
      others.push_back(concat(".BR lotformer\\-", other, " (1)"));
  }
  return text + join(others, ",\n") + "\n";
}

}  // namespace lotformer::manual
