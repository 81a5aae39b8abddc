// SPDX-License-Identifier: MIT
#include "cli/trivial.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <utility>

namespace lotformer::test {
namespace {

using data::Dataset;
using Bytes = std::span<const uint8_t>;
using Feature = std::function<double(const Dataset&, int64_t row)>;

std::vector<double> values_of(const Dataset& split, const Feature& feature) {
  std::vector<double> values;
  for (int64_t row = 0; row < split.size(); ++row) values.push_back(feature(split, row));
  return values;
}

/// Divides the feature into bins with equally many training examples; a bin answers its most frequent class.
double accuracy_of(const Dataset& train, const Dataset& test, int64_t classes, const Feature& feature) {
  const std::vector<double> values = values_of(train, feature);
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const size_t bins = std::clamp<size_t>(values.size() / 100, 2, 40);
  std::vector<double> edges;
  for (size_t bin = 1; bin < bins; ++bin) edges.push_back(sorted[bin * sorted.size() / bins]);
  const auto bin_of = [&](double value) {
    return static_cast<size_t>(std::upper_bound(edges.begin(), edges.end(), value) - edges.begin());
  };
  std::vector<std::vector<int64_t>> counts(bins, std::vector<int64_t>(static_cast<size_t>(classes), 0));
  for (size_t row = 0; row < values.size(); ++row)
    ++counts[bin_of(values[row])][static_cast<size_t>(train.label(static_cast<int64_t>(row)))];
  int64_t right = 0;
  for (int64_t row = 0; row < test.size(); ++row) {
    const auto& bin = counts[bin_of(feature(test, row))];
    right += std::max_element(bin.begin(), bin.end()) - bin.begin() == test.label(row) ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(test.size());
}

double most_frequent(Bytes bytes) {
  std::array<int64_t, 256> counts{};
  for (const uint8_t byte : bytes) ++counts[byte];
  return static_cast<double>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

double mean(Bytes pixels) {
  double sum = 0;
  for (const uint8_t pixel : pixels) sum += pixel;
  return sum / static_cast<double>(pixels.size());
}

double spread(Bytes pixels) {
  const double centre = mean(pixels);
  double sum = 0;
  for (const uint8_t pixel : pixels) sum += (pixel - centre) * (pixel - centre);
  return sum;
}

/// The discs are the brightest squares of their size; the second is looked for outside the first.
double disc_distance(Bytes pixels) {
  const auto edge = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(pixels.size()))));
  const int64_t reach = edge <= 32 ? 1 : edge / 32;  // half a square's edge
  std::vector<std::pair<int64_t, int64_t>> squares;  // brightness, place
  for (int64_t y = reach; y + reach < edge; ++y) {
    for (int64_t x = reach; x + reach < edge; ++x) {
      if (pixels[static_cast<size_t>(y * edge + x)] == 0) continue;
      int64_t sum = 0;
      for (int64_t v = y - reach; v <= y + reach; ++v) {
        for (int64_t u = x - reach; u <= x + reach; ++u) sum += pixels[static_cast<size_t>(v * edge + u)];
      }
      squares.emplace_back(sum, y * edge + x);
    }
  }
  std::sort(squares.rbegin(), squares.rend());
  for (const auto& [sum, place] : squares) {
    const auto dx = static_cast<double>(place % edge - squares[0].second % edge);
    const auto dy = static_cast<double>(place / edge - squares[0].second / edge);
    const double distance = std::hypot(dx, dy);
    if (distance > 2 * static_cast<double>(reach) + 1) return distance;
  }
  return 0;
}

double first(Bytes bytes) {
  return bytes[0];
}

/// Before the cut.
double length(const Dataset& split, int64_t row, int64_t sequence) {
  return static_cast<double>(split.property(row, sequence));
}

Feature of_bytes(double (*value)(Bytes)) {
  return [value](const Dataset& split, int64_t row) { return value(split.bytes(row)); };
}

std::vector<std::pair<std::string, Feature>> features_of(const std::string& task) {
  std::vector<std::pair<std::string, Feature>> features = {
      {"most frequent class", [](const Dataset&, int64_t) { return 0.0; }}};
  if (task == "image" || task.starts_with("path")) {
    features.emplace_back("mean grey value", of_bytes(&mean));
    features.emplace_back("spread of the grey values", of_bytes(&spread));
  }
  if (task.starts_with("path")) {
    features.emplace_back("pixels that are not black", [](const Dataset& split, int64_t row) {
      return static_cast<double>(split.property(row, 0));
    });
    features.emplace_back(kDiscDistance, of_bytes(&disc_distance));
  }
  if (task == "listops" || task == "text" || task == "retrieval") {
    features.emplace_back("length", [](const Dataset& split, int64_t row) { return length(split, row, 0); });
    features.emplace_back("most frequent token", of_bytes(&most_frequent));
    features.emplace_back("first token", of_bytes(&first));
  }
  if (task == "retrieval") {
    features.emplace_back("difference of the lengths", [](const Dataset& split, int64_t row) {
      return std::abs(length(split, row, 0) - length(split, row, 1));
    });
    for (const auto& [name, value] : {std::pair("most frequent", &most_frequent), std::pair("first", &first)})
      features.emplace_back(std::string("same ") + name + " byte",
                            [value](const Dataset& split, int64_t row) {
                              return value(split.bytes(row, 0)) == value(split.bytes(row, 1)) ? 1.0 : 0.0;
                            });
  }
  return features;
}

}  // namespace

std::vector<Trivial> trivial_predictors(const std::string& task_name, const data::DataOptions& options) {
  const auto task = data::open_task(task_name, options);
  const Dataset train = task->open(data::Split::train), test = task->open(data::Split::test);
  std::vector<Trivial> predictors;
  for (const auto& [name, feature] : features_of(task_name))
    predictors.push_back({name, accuracy_of(train, test, task->num_classes(), feature)});
  return predictors;
}

Trivial best_trivial(const std::vector<Trivial>& predictors, const std::string& except) {
  Trivial best;
  for (const Trivial& one : predictors) {
    if (one.name != except && one.accuracy > best.accuracy) best = one;
  }
  return best;
}

Trivial trivial_called(const std::vector<Trivial>& predictors, const std::string& name) {
  const auto found = std::find_if(predictors.begin(), predictors.end(),
                                  [&](const Trivial& one) { return one.name == name; });
  return found == predictors.end() ? Trivial{} : *found;
}

}  // namespace lotformer::test
