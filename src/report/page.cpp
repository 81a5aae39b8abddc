// SPDX-License-Identifier: MIT
#include "page.h"

#include "embedded.h"
#include "lotformer/core/text.h"

namespace lotformer::report {
namespace {

std::string html_escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '&':
        result += "&amp;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

/// JSON inside a <script>: no text in it can end the element, whatever a run folder is called.
std::string json_for_script(const Json& data) {
  const std::string text = data.dump(-1, ' ', true, Json::error_handler_t::replace);
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      result += "\\u003c";
    } else {
      result += c;
    }
  }
  return result;
}

/// Replaces {{NAME}} once each; a value is not looked through again.
std::string filled(std::string_view page, const std::vector<std::pair<std::string, std::string>>& values) {
  std::string result;
  while (true) {
    const size_t open = page.find("{{"), close = page.find("}}", open);
    if (open == std::string_view::npos || close == std::string_view::npos) return result + std::string(page);
    const std::string_view name = page.substr(open + 2, close - open - 2);
    result += page.substr(0, open);
    for (const auto& [key, value] : values) {
      if (key == name) result += value;
    }
    page.remove_prefix(close + 2);
  }
}

}  // namespace

std::string page_of(const Json& data, const PageOptions& options) {
  const std::string refresh = options.refresh_seconds > 0 ? concat("<meta http-equiv=\"refresh\" content=\"",
                                                                   options.refresh_seconds, "\">")
                                                          : "";
  return filled(embedded::page_html(), {{"title", html_escaped(options.title)},
                                        {"refresh", refresh},
                                        {"css", std::string(embedded::page_css())},
                                        {"plotly", std::string(embedded::plotly_js())},
                                        {"data", json_for_script(data)},
                                        {"charts", std::string(embedded::charts_js())},
                                        {"tables", std::string(embedded::tables_js())},
                                        {"page", std::string(embedded::page_js())}});
}

}  // namespace lotformer::report
