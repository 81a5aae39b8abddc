// SPDX-License-Identifier: MIT
// One description of a key serves validation, --print-config, --help-config and the documentation page (see
// docs/architecture.md).
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/core/data_options.h"

namespace lotformer {

/// Interval of allowed numbers; an open end excludes the bound itself.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
};

/// Everything known about one key. Members have defaults so that designated initialisers may leave them out.
struct FieldInfo {
  /// Name inside its section, for instance "epsilon".
  std::string_view key;
  /// One line of documentation, with the unit where there is one.
  std::string_view help;
  /// Numbers only.
  Range range = {};
  /// Strings only; empty means any text.
  std::vector<std::string_view> choices = {};
  /// How a run is carried out, not which one it is: no weight and no score depends on it beyond rounding, or
  /// results say so themselves (train.on_nonfinite). It may change on a resume, and neither config_hash nor
  /// the name of a run folder knows it.
  bool bookkeeping = false;
};

/// Visits the fields of one section. The reader overwrites the value, the printer and the documenter read it.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void field(const FieldInfo& info, bool& value) = 0;
  virtual void field(const FieldInfo& info, int64_t& value) = 0;
  virtual void field(const FieldInfo& info, double& value) = 0;
  virtual void field(const FieldInfo& info, std::string& value) = 0;
  /// Fields between the two belong to a section of that name inside the present one.
  virtual void begin_section(const std::string& /*name*/) {}
  virtual void end_section() {}
};

/// A section of typed options; each attention module brings its own (`model.attention`).
class Options {
 public:
  virtual ~Options() = default;
  virtual void visit(FieldVisitor& visitor) = 0;
  /// What no single range or choice can express, with keys of this section. A configuration reports it with
  /// file, line and key before any data are read.
  virtual std::vector<Conflict> conflicts() const { return {}; }
  /// Of an attention module: a token sees itself and those before it, and nothing behind it.
  virtual bool looks_back_only() const { return false; }
  /// What records, run folders and tables call the module `kind` with these options: a variant that must not
  /// pass for the published method has a name of its own.
  virtual std::string record_name(const std::string& kind) const { return kind; }
};

/// For constructors, whose options may come from C++ instead of a file: Error(usage) "SECTION.KEY: message"
/// at the first conflict.
void require_no_conflict(const Options& options, std::string_view section);

}  // namespace lotformer
