// SPDX-License-Identifier: MIT
#include "plan_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/text.h"
#include "train/run/tensor_file.h"

namespace lotformer {
namespace {

constexpr const char* kFormat = "lotformer-plans-1";

/// Shortest decimals that give the same bits back; null for what JSON cannot say.
template <class T>
void write_number(FileWriter& out, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) return out.write("null");
  }
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  out.write(std::string_view(buffer.data(), static_cast<size_t>(end - buffer.data())));
}

/// Nested lists of a contiguous tensor.
template <class T>
void write_list(FileWriter& out, const at::Tensor& x) {
  out.write("[");
  for (int64_t i = 0; i < x.size(0); ++i) {
    if (i > 0) out.write(",");
    if (x.dim() > 1) {
      write_list<T>(out, x[i]);
    } else {
      write_number(out, x.const_data_ptr<T>()[i]);
    }
  }
  out.write("]");
}

/// What the ids stand for: texts, or for a square picture its width.
void write_meaning(FileWriter& out, const at::Tensor& ids, const data::Vocabulary& vocabulary) {
  const int64_t count = ids.numel();
  if (vocabulary.kind == data::Vocabulary::Kind::picture) {
    const auto width = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(count))));
    if (width * width == count) out.write(concat(",\"width\":", width));
    return;
  }
  Json tokens = Json::array();
  for (int64_t i = 0; i < count; ++i) {
    const auto id = static_cast<size_t>(ids.const_data_ptr<int64_t>()[i]);
    // A token of the byte tokeniser need not be a character: what is not plain ASCII is escaped.
    const std::string text = id < vocabulary.tokens.size() ? vocabulary.tokens[id] : "?";
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 127; });
    tokens.push_back(plain ? text : quoted(text));
  }
  out.write(",\"tokens\":" + to_line(tokens));
}

void write_sequence(FileWriter& out, const PlannedSequence& sequence, const PlanFileInfo& info) {
  out.write("{\"ids\":");
  write_list<int64_t>(out, sequence.ids);
  write_meaning(out, sequence.ids, info.vocabulary);
  if (sequence.positions.defined()) {
    out.write(",\"positions\":");
    write_list<int64_t>(out, sequence.positions);
  }
  out.write(",\"plans\":[");
  for (size_t l = 0; l < info.layers.size(); ++l) {
    for (size_t h = 0; h < info.heads.size(); ++h) {
      const auto head = static_cast<int64_t>(h);
      out.write(concat(l + h > 0 ? "," : "", "\n{\"layer\":", info.layers[l], ",\"head\":", info.heads[h],
                       ",\"query\":"));
      write_list<float>(out, sequence.layers[l].query[head]);
      out.write(",\"key\":");
      write_list<float>(out, sequence.layers[l].key[head]);
      out.write("}");
    }
  }
  out.write("]}");
}

int64_t entries_of(const PlannedExample& example) {
  int64_t entries = 0;
  for (const PlannedSequence& sequence : example.sequences) {
    for (const TransportPlans& layer : sequence.layers) entries += layer.query.numel() + layer.key.numel();
  }
  return entries;
}

void add_tensors(NamedTensors& tensors, const PlannedExample& example, const std::vector<int64_t>& layers) {
  for (size_t s = 0; s < example.sequences.size(); ++s) {
    const PlannedSequence& sequence = example.sequences[s];
    const std::string prefix = concat("row", example.row, ".sequence", s, ".");
    tensors.emplace_back(prefix + "ids", sequence.ids);
    if (sequence.positions.defined()) tensors.emplace_back(prefix + "positions", sequence.positions);
    for (size_t l = 0; l < layers.size(); ++l) {
      tensors.emplace_back(concat(prefix, "layer", layers[l], ".query"), sequence.layers[l].query);
      tensors.emplace_back(concat(prefix, "layer", layers[l], ".key"), sequence.layers[l].key);
    }
  }
}

/// All of the file or nothing of it.
void write_replacing(const std::filesystem::path& file, const NamedTensors& tensors,
                     const std::map<std::string, std::string>& metadata) {
  std::filesystem::path temporary = file;
  temporary += concat(".tmp-", ::getpid());
  std::error_code failed;
  try {
    write_tensors(temporary, tensors, metadata);
  } catch (...) {
    std::filesystem::remove(temporary, failed);
    throw;
  }
  std::filesystem::rename(temporary, file, failed);
  if (failed) throw Error(ErrorKind::disk, concat(file.string(), ": rename failed: ", failed.message()));
}

}  // namespace

void write_plans_json(const std::filesystem::path& file, const PlanFileInfo& info,
                      const std::function<PlannedExample(int64_t row)>& example) {
  write_atomic(file, [&](FileWriter& out) {
    out.write(concat("{\"format\":\"", kFormat, "\",\"about\":", to_line(info.about), ",\n\"examples\":["));
    for (size_t i = 0; i < info.rows.size(); ++i) {
      const PlannedExample found = example(info.rows[i]);
      const Json name = info.classes[static_cast<size_t>(found.label)];
      out.write(concat(i > 0 ? ",\n" : "\n", "{\"row\":", found.row, ",\"label\":", found.label,
                       ",\"class\":", to_line(name), ",\"prediction\":", found.prediction,
                       found.transport ? ",\"transport\":" + to_line(to_json(*found.transport)) : "",
                       ",\"sequences\":["));
      for (size_t s = 0; s < found.sequences.size(); ++s) {
        if (s > 0) out.write(",\n");
        write_sequence(out, found.sequences[s], info);
      }
      out.write("]}");
    }
    out.write("]}\n");
  });
}

void write_plans_safetensors(const std::filesystem::path& file, const PlanFileInfo& info,
                             const std::function<PlannedExample(int64_t row)>& example) {
  NamedTensors tensors;
  std::map<std::string, std::string> metadata = {
      {"format", kFormat}, {"about", to_line(info.about)}, {"heads", to_line(info.heads)}};
  int64_t entries = 0;
  for (const int64_t row : info.rows) {
    const PlannedExample found = example(row);
    entries += entries_of(found);
    if (entries > kMostPlanEntries) {
      throw Error(ErrorKind::usage,
                  concat("--plans: more than ", kMostPlanEntries * 4 / (1024 * 1024), " MiB at row ", row,
                         "; choose fewer rows, layers or heads, or a .json file"));
    }
    Json about = {{"label", found.label}, {"prediction", found.prediction}};
    if (found.transport) about["transport"] = to_json(*found.transport);
    metadata[concat("row", row)] = to_line(about);
    add_tensors(tensors, found, info.layers);
  }
  write_replacing(file, tensors, metadata);
}

}  // namespace lotformer
