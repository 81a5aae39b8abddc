// SPDX-License-Identifier: MIT
#include "pictures.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>

#include "lotformer/core/hash.h"
#include "lotformer/core/text.h"
#include "predictions.h"

namespace lotformer::report {
namespace {

constexpr double kPercent = 100.0;
constexpr size_t kMostName = 150;
// Okabe and Ito's palette (Color Universal Design, 2008), as on the page.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                    "#E69F00", "#56B4E9", "#7F7F7F", "#B8A000"};

/// For gnuplot inside double quotes, without its markup.
std::string plain(const std::string& text) {
  std::string result;
  for (const char c : one_line(text)) result += c == '"' || c == '\\' || c == '`' ? ' ' : c;
  return result;
}

std::string file_name(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const bool kept = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (kept) result += c;
    if (!kept && !result.empty() && result.back() != '-') result += '-';
  }
  while (!result.empty() && result.back() == '-') result.pop_back();
  // File systems take 255 bytes, with the suffix.
  return result.size() > kMostName ? result.substr(0, kMostName) + "-" + hash_bytes(text).substr(0, 8)
                                   : result;
}

std::string colour(size_t row) {
  return concat("rgb \"", kColours[row % std::size(kColours)], "\"");
}

using Curve = std::vector<std::pair<int64_t, double>>;

/// Value of a curve at a step, between its points; nothing outside of them.
std::optional<double> value_at(const Curve& curve, int64_t step) {
  const auto after = std::lower_bound(curve.begin(), curve.end(), step,
                                      [](const auto& point, int64_t s) { return point.first < s; });
  if (after == curve.end() || (after == curve.begin() && after->first != step)) return std::nullopt;
  if (after->first == step) return after->second;
  const auto before = after - 1;
  const double share =
      static_cast<double>(step - before->first) / static_cast<double>(after->first - before->first);
  return before->second + share * (after->second - before->second);
}

/// At the steps of the curve with the fewest points, where at least half of the curves reach: step, mean,
/// smallest, largest. Seeds may have been logged at other steps, so that values between points count.
std::string band_of(const std::vector<Curve>& curves) {
  const auto coarsest = std::min_element(curves.begin(), curves.end(), [](const Curve& a, const Curve& b) {
    return std::pair(-a.back().first, a.size()) < std::pair(-b.back().first, b.size());
  });
  std::string lines;
  for (const auto& point : *coarsest) {
    std::vector<double> values;
    for (const Curve& curve : curves) {
      if (const auto value = value_at(curve, point.first)) values.push_back(*value);
    }
    if (2 * values.size() < curves.size()) continue;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    lines += concat(point.first, " ", statistic_of(values).mean, " ", *low, " ", *high, "\n");
  }
  return lines;
}

using CurveOf = std::function<Curve(const Run&)>;

/// Curves of all modules on one task; nothing where no run has any.
std::string curves_script(const std::vector<Run>& runs, const Table& table, size_t column,
                          const std::string& what, const CurveOf& of) {
  std::string data, plot;
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const auto cell = table.rows[r].cells.find(column);
    if (cell == table.rows[r].cells.end()) continue;
    std::vector<Curve> curves;
    for (const auto* list : {&cell->second.finished, &cell->second.unfinished}) {
      for (const size_t i : *list) {
        Curve curve = of(runs[i]);
        std::erase_if(curve, [](const auto& point) { return !std::isfinite(point.second); });
        if (!curve.empty()) curves.push_back(std::move(curve));
      }
    }
    if (curves.empty()) continue;
    data += concat("$row", r, " << EOD\n", band_of(curves), "EOD\n");
    plot += concat(plot.empty() ? "plot " : ", ", "$row", r, " using 1:3:4 with filledcurves fillcolor ",
                   colour(r), " fill transparent solid 0.18 noborder notitle, $row", r,
                   " using 1:2 with lines linewidth 2 linecolor ", colour(r), " title \"",
                   plain(table.rows[r].label()), "\"");
  }
  if (plot.empty()) return {};
  return concat(data, "set title \"", plain(table.columns[column].title),
                "\"\nset xlabel \"step\"\nset ylabel \"", what,
                "\"\nset key below left font \",11\"\nset grid\n", plot, "\n");
}

std::string speed_script(const Table& table, size_t column) {
  std::string data, plot;
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const auto cell = table.rows[r].cells.find(column);
    if (cell == table.rows[r].cells.end()) continue;
    const Cell& c = cell->second;
    if (c.best.n == 0 || c.steps_per_second.n == 0) continue;
    data += concat("$row", r, " << EOD\n", c.steps_per_second.mean, " ", kPercent * c.best.mean, " ",
                   c.peak_memory_bytes.mean / (1 << 20), "\nEOD\n");
    plot += concat(plot.empty() ? "plot " : ", ", "$row", r,
                   " using 1:2:(0.6 + sqrt($3 / 300)) with points pointtype 7 pointsize variable linecolor ",
                   colour(r), " title \"", plain(table.rows[r].label()), "\"");
  }
  if (plot.empty()) return {};
  return concat(
      data, "set title \"", plain(table.columns[column].title),
      "\"\nset xlabel \"training steps a second (area: peak memory)\"\nset ylabel \"test accuracy in "
      "%\"\nset logscale x\n"
      "set offsets graph 0.15, graph 0.15, graph 0.15, graph 0.15\nset key below left font \",11\"\nset "
      "grid\n",
      plot, "\n");
}

std::string heat_script(const std::string& title, const std::string& x, const std::string& y,
                        const std::vector<std::vector<double>>& rows) {
  std::string data = "$map << EOD\n";
  for (const auto& row : rows) {
    for (const double value : row) data += concat(value, " ");
    data += "\n";
  }
  return concat(data, "EOD\nset title \"", plain(title), "\"\nset xlabel \"", x, "\"\nset ylabel \"", y,
                "\"\nset yrange [*:*] reverse\nset autoscale xfix\nset autoscale yfix\nset palette defined "
                "(0 \"#ffffff\", 0.5 \"#56B4E9\", 1 "
                "\"#08306b\")\nset cbrange [0:*]\nunset key\nplot $map matrix with image\n");
}

std::string confusion_script(const PredictionTable& predictions, const std::string& title) {
  std::vector<std::vector<double>> shares;
  for (const auto& line : confusion_of(predictions)) {
    double sum = 0;
    for (const int64_t n : line) sum += static_cast<double>(n);
    shares.emplace_back();
    for (const int64_t n : line) shares.back().push_back(sum > 0 ? static_cast<double>(n) / sum : 0);
  }
  return heat_script(title, "predicted class", "true class", shares);
}

std::string accuracy_script(const PredictionTable& predictions, size_t attribute, const std::string& title) {
  std::string data = "$bins << EOD\n";
  for (const AccuracyBin& bin : accuracy_by(predictions, attribute, 12))
    data += concat("\"", bin.least, "-", bin.most, "\" ", kPercent * bin.accuracy, "\n");
  return concat(data, "EOD\nset title \"", plain(title), "\"\nset xlabel \"",
                plain(predictions.attributes[attribute]),
                "\"\nset ylabel \"test accuracy in %\"\nset style fill solid 0.8\nset boxwidth 0.8\nset "
                "yrange [0:*]\nset xtics rotate by -40\n"
                "unset key\nset grid y\nplot $bins using 2:xtic(1) with boxes linecolor ",
                colour(0), "\n");
}

std::vector<std::vector<double>> matrix_of(const Json& rows) {
  std::vector<std::vector<double>> matrix;
  if (!rows.is_array()) return matrix;
  for (const Json& row : rows) {
    matrix.emplace_back();
    if (!row.is_array()) continue;
    for (const Json& value : row) matrix.back().push_back(value.is_number() ? value.get<double>() : 0.0);
  }
  return matrix;
}

/// The first example's plans.
void add_plans(std::vector<Picture>& pictures, const Run& run, const std::string& name) {
  if (!run.plans.is_array()) return;
  for (const Json& plan : run.plans.at(0).at("sequences").at(0).at("plans")) {
    const std::string where =
        concat("layer ", json_or(plan, "layer", int64_t{0}), ", head ", json_or(plan, "head", int64_t{0}));
    for (const char* side : {"query", "key"}) {
      const auto matrix = matrix_of(json_or(plan, side, Json()));
      if (matrix.empty()) continue;
      pictures.push_back({file_name(concat("plan ", name, " ", where, " ", side)),
                          heat_script(concat(where, ", ", side, " plan"), "token", "pivot", matrix)});
    }
  }
}

void add_run_pictures(std::vector<Picture>& pictures, const Run& run, const std::string& name) {
  if (run.predictions) {
    pictures.push_back({file_name("confusion " + name), confusion_script(*run.predictions, name)});
    for (size_t a = 0; a < run.predictions->attributes.size(); ++a)
      pictures.push_back({file_name(concat("accuracy by ", run.predictions->attributes[a], " ", name)),
                          accuracy_script(*run.predictions, a, name)});
  }
  add_plans(pictures, run, name);
}

Curve validation_curve(const Run& run) {
  Curve curve;
  for (const Score& score : run.validation) curve.emplace_back(score.step, kPercent * score.accuracy);
  return curve;
}

Curve training_curve(const Run& run, double TrainingPoint::*member) {
  Curve curve;
  for (const TrainingPoint& point : run.training) curve.emplace_back(point.step, point.*member);
  return curve;
}

/// Mean over the layers.
Curve series_curve(const Run& run, const std::string& source, const std::string& key) {
  std::map<int64_t, std::vector<double>> at;
  for (const Series& series : run.series) {
    if (series.source != source || series.key != key) continue;
    for (size_t i = 0; i < series.steps.size(); ++i) at[series.steps[i]].push_back(series.values[i]);
  }
  Curve curve;
  for (const auto& [step, values] : at) curve.emplace_back(step, statistic_of(values).mean);
  return curve;
}

}  // namespace

std::vector<Picture> make_pictures(const std::vector<Run>& runs, const Table& table) {
  std::vector<Picture> pictures;
  std::set<std::pair<std::string, std::string>> keys;
  for (const Run& run : runs) {
    for (const Series& series : run.series) keys.insert({series.source, series.key});
  }
  for (size_t c = 0; c < table.columns.size(); ++c) {
    const std::string title = table.columns[c].title;
    const auto add = [&](const std::string& name, std::string script) {
      if (!script.empty()) pictures.push_back({file_name(name + " " + title), std::move(script)});
    };
    add("accuracy speed", speed_script(table, c));
    add("validation accuracy", curves_script(runs, table, c, "validation accuracy in %", validation_curve));
    add("training loss", curves_script(runs, table, c, "training loss in nats",
                                       [](const Run& r) { return training_curve(r, &TrainingPoint::loss); }));
    add("gradient norm", curves_script(runs, table, c, "gradient norm", [](const Run& r) {
          return training_curve(r, &TrainingPoint::grad_norm);
        }));
    for (const auto& [source, key] : keys)
      add(source + " " + key, curves_script(runs, table, c, plain(key) + ", mean of the layers",
                                            [&](const Run& r) { return series_curve(r, source, key); }));
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto place = table.place_of_run.find(i);
    if (place == table.place_of_run.end()) continue;
    add_run_pictures(pictures, runs[i],
                     concat(table.rows[place->second.first].label(), " ",
                            table.columns[place->second.second].title, " seed ", runs[i].seed));
  }
  // Two runs of one seed in one cell would have one name.
  std::map<std::string, int> seen;
  for (Picture& picture : pictures) {
    const int before = seen[picture.name]++;
    if (before > 0) picture.name += concat("-", before + 1);
  }
  return pictures;
}

}  // namespace lotformer::report
