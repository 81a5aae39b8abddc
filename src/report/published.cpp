// SPDX-License-Identifier: MIT
#include "published.h"

#include <yaml-cpp/yaml.h>

#include <set>

#include "embedded.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::report {
namespace {

[[noreturn]] void fail_published(const std::string& name, const YAML::Node& node, const std::string& what) {
  throw Error(ErrorKind::usage, concat(name, ":", node.Mark().line + 1, ": ", what));
}

std::string text_member(const YAML::Node& map, const char* key, const std::string& name) {
  const YAML::Node value = map[key];
  if (!value || !value.IsScalar() || value.Scalar().empty())
    fail_published(name, map, concat("'", key, "' is missing or no text"));
  return value.Scalar();
}

PublishedRow row_of(const YAML::Node& node, const std::string& name) {
  if (!node.IsMap()) fail_published(name, node, "a row is a map of model and tasks");
  PublishedRow row;
  row.model = text_member(node, "model", name);
  for (const auto& member : node) {
    const std::string key = member.first.Scalar();
    if (key == "model") continue;
    double percent = 0;
    if (!YAML::convert<double>::decode(member.second, percent) || !(percent >= 0 && percent <= 100))
      fail_published(name, member.second, concat("'", key, "' is no accuracy between 0 and 100 percent"));
    row.percent[key] = percent;
  }
  return row;
}

PublishedTable table_of(const YAML::Node& node, const std::string& name) {
  static const std::set<std::string> known = {"source", "table", "protocol", "note", "rows"};
  if (!node.IsMap()) fail_published(name, node, "a table is a map of source, table, protocol, rows");
  for (const auto& member : node) {
    if (!known.contains(member.first.Scalar()))
      fail_published(name, member.first, concat("unknown key ", quoted(member.first.Scalar())));
  }
  PublishedTable table{text_member(node, "source", name),
                       text_member(node, "table", name),
                       text_member(node, "protocol", name),
                       "",
                       {}};
  if (node["note"]) table.note = text_member(node, "note", name);
  const YAML::Node rows = node["rows"];
  if (!rows || !rows.IsSequence() || rows.size() == 0) fail_published(name, node, "'rows' is no list");
  for (const auto& row : rows) table.rows.push_back(row_of(row, name));
  return table;
}

}  // namespace

std::vector<PublishedTable> parse_published(std::string_view yaml, const std::string& name) {
  YAML::Node document;
  try {
    document = YAML::Load(std::string(yaml));
  } catch (const YAML::ParserException& error) {
    throw Error(ErrorKind::usage, concat(name, ":", error.mark.line + 1, ": ", one_line(error.msg)));
  }
  if (!document.IsSequence()) throw Error(ErrorKind::usage, name + ":1: a list of tables is expected");
  std::vector<PublishedTable> tables;
  for (const auto& node : document) tables.push_back(table_of(node, name));
  return tables;
}

std::vector<PublishedTable> built_in_published() {
  return parse_published(embedded::published_yaml(), "docs/published.yaml");
}

}  // namespace lotformer::report
