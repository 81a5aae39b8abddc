// SPDX-License-Identifier: MIT
#include "yaml_reader.h"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>

#include "lotformer/core/text.h"
#include "yaml_bytes.h"

namespace lotformer::config {
namespace {

/// Follows the text as a comment. yaml-cpp takes the end of the file for the end of an open quote; then this
/// is in the scalar.
constexpr std::string_view kEndMark = "\n#\x02\n";

/// Ends the parse: the rest of the document is not worth reading.
struct Stop {
  Place place;
  std::string message;
};

/// Builds the tree from the parser's events, so that an alias bomb or a deep nest stops where it starts:
/// yaml-cpp's own tree would already have been built.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(int source, Diagnostics& diagnostics) : source_(source), diagnostics_(diagnostics) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Stop{place(mark), "a second YAML document starts here; a file holds one"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    leaf(Node::Kind::null, mark, "", false, anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    if (tag == "!" && value.find(kEndMark.substr(1, 2)) != std::string::npos) {
      throw Stop{place(mark), "the quote that opens here is never closed"};
    }
    leaf(Node::Kind::scalar, mark, value, tag == "!", anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (++aliases_ > kMaxAliases) {
      throw Stop{place(mark), concat("more than ", kMaxAliases, " aliases (*name); write the values out")};
    }
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end())
      throw Stop{place(mark), "this alias stands inside the value that it names; write the value out"};
    Node node = it->second;
    node.place = place(mark);
    attach(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(Node::Kind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(Node::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

  const std::optional<Node>& root() const { return root_; }
  Place place(const YAML::Mark& mark) const {
    return mark.is_null() ? Place{source_, 0, 0} : Place{source_, mark.line + 1, mark.column + 1};
  }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    std::vector<Entry> entries;
    std::unordered_map<std::string, int> first_line;  // of each key
    bool has_key = false;                             // a key waits for its value
  };

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.size() > 1)
      throw Stop{place(mark), "YAML tag " + quoted(tag) + " is not supported; leave it out"};
  }

  void leaf(Node::Kind kind, const YAML::Mark& mark, const std::string& text, bool is_quoted,
            YAML::anchor_t anchor) {
    Node node;
    node.kind = kind;
    node.place = place(mark);
    node.text = text;
    node.quoted = is_quoted;
    if (anchor != 0) anchors_[anchor] = node;
    attach(std::move(node));
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_tag(mark, tag);
    if (static_cast<int>(stack_.size()) >= kMaxDepth) {
      throw Stop{place(mark), concat("nested more than ", kMaxDepth,
                                     " levels deep; the deepest section is model.attention")};
    }
    Frame frame;
    frame.node.kind = kind;
    frame.node.place = place(mark);
    frame.anchor = anchor;
    stack_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.node.kind == Node::Kind::map) {
      frame.node.entries = std::make_shared<const std::vector<Entry>>(std::move(frame.entries));
    }
    if (frame.anchor != 0) anchors_[frame.anchor] = frame.node;
    attach(std::move(frame.node));
  }

  void attach(Node node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& parent = stack_.back();
    if (parent.node.kind != Node::Kind::map) return;
    if (parent.has_key) {
      if (node.kind == Node::Kind::null)
        node.place = parent.entries.back().place;  // else it would be the next line's
      parent.entries.back().value = std::move(node);
      parent.has_key = false;
      return;
    }
    if (node.kind != Node::Kind::scalar) throw Stop{node.place, "a key must be a single word"};
    const auto [it, fresh] = parent.first_line.emplace(node.text, node.place.line);
    if (!fresh) {
      diagnostics_.add(node.place, path_of(node.text),
                       concat("duplicate key, first given in line ", it->second, "; keep one of the two"));
    }
    parent.entries.push_back({node.text, node.place, {}});
    parent.has_key = true;
  }

  std::string path_of(const std::string& key) const {
    std::string path;
    for (size_t i = 0; i + 1 < stack_.size(); ++i) {
      if (stack_[i].has_key) path += display_key(stack_[i].entries.back().key) + ".";
    }
    return path + display_key(key);
  }

  int source_;
  Diagnostics& diagnostics_;
  int documents_ = 0;
  int aliases_ = 0;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Node> anchors_;
  std::optional<Node> root_;
};

/// nullopt: nothing but comments, or an error (which has been added).
std::optional<Node> parse(std::string_view text, int source, Diagnostics& diagnostics, bool& failed) {
  failed = true;
  if (const auto problem = find_byte_problem(text)) {
    diagnostics.add({source, problem->line, problem->column}, "", problem->message);
    return std::nullopt;
  }
  TreeBuilder builder(source, diagnostics);
  try {
    std::istringstream stream{std::string(text).append(kEndMark)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    diagnostics.add(stop.place, "", stop.message);
    return std::nullopt;
  } catch (const YAML::Exception& error) {
    diagnostics.add(builder.place(error.mark), "",
                    "not valid YAML: " + error.msg + "; check indentation, quotes and the blank after ':'");
    return std::nullopt;
  }
  failed = false;
  return builder.root();
}

}  // namespace

std::optional<Node> read_yaml(std::string_view text, int source, Diagnostics& diagnostics) {
  bool failed = false;
  std::optional<Node> root = parse(text, source, diagnostics, failed);
  if (failed) return std::nullopt;
  if (!root || root->kind == Node::Kind::null) {
    diagnostics.add({source, 1, 1}, "", "the file holds no settings; write for instance 'task: listops'");
    return std::nullopt;
  }
  if (root->kind != Node::Kind::map) {
    diagnostics.add(root->place, "", "the file must hold 'key: value' lines, not a single value or a list");
    return std::nullopt;
  }
  return root;
}

std::optional<Node> read_quoted_scalar(std::string_view text, int source, Diagnostics& diagnostics) {
  Diagnostics inner;
  inner.add_source("");
  bool failed = false;
  std::optional<Node> root = parse(text, 0, inner, failed);
  if (failed || !root || root->kind != Node::Kind::scalar || !root->quoted) {
    diagnostics.add({source, 0, 0}, "",
                    "the quoted value " + quoted(text) + " is not one whole YAML string; check the quotes");
    return std::nullopt;
  }
  root->place = {source, 0, 0};
  return root;
}

}  // namespace lotformer::config
