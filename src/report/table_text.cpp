// SPDX-License-Identifier: MIT
// The LRA table as Markdown and LaTeX.
#include <algorithm>
#include <functional>

#include "lotformer/core/text.h"
#include "table.h"

namespace lotformer::report {
namespace {

constexpr double kPercent = 100.0;

std::string number(const Statistic& s, int decimals) {
  return s.n == 0 ? "-" : format_fixed(s.mean, decimals);
}

/// Digits that mean something: 0.12, 3.4, 156.
std::string speed_text(const Statistic& s) {
  return number(s, s.mean < 1 ? 2 : s.mean < 100 ? 1 : 0);
}

std::string memory_text(const Statistic& s) {
  return s.n == 0 ? "-" : format_bytes(static_cast<int64_t>(s.mean));
}

std::string parameters_text(const Statistic& s) {
  return s.n == 0 ? "-" : format_count(static_cast<int64_t>(s.mean));
}

std::string cell_text(const Cell& cell, const Statistic& s) {
  std::string text = percent_text(s) + (cell.qualified ? " †" : "");
  if (!cell.unfinished.empty()) text += concat(" (+", cell.unfinished.size(), " not finished)");
  return text;
}

std::string markdown_escaped(const std::string& text) {
  std::string result;
  for (const char c : one_line(text)) {
    if (std::string_view("|<>*_`\\[]").find(c) != std::string_view::npos) result += '\\';
    result += c;
  }
  return result;
}

std::string latex_escaped(const std::string& text) {
  std::string result;
  for (const char c : one_line(text)) {
    switch (c) {
      case '\\':
        result += "\\textbackslash{}";
        break;
      case '~':
        result += "\\textasciitilde{}";
        break;
      case '^':
        result += "\\textasciicircum{}";
        break;
      case '<':
        result += "\\textless{}";
        break;
      case '>':
        result += "\\textgreater{}";
        break;
      case '_':
      case '%':
      case '&':
      case '#':
      case '$':
      case '{':
      case '}':
        result += '\\';
        [[fallthrough]];
      default:
        result += c;
    }
  }
  return result;
}

/// Of the table, then of its runs with their folders.
std::vector<std::string> notes_of(const Table& table, const std::vector<Run>& runs) {
  std::vector<std::string> notes = table.notes;
  for (const Run& run : runs) {
    for (const auto& note : run.notes) notes.push_back(run.folder.string() + ": " + note);
  }
  return notes;
}

std::string label_of(const Row& row) {
  return row.label() + (row.control ? " (control)" : "");
}

using CellText = std::function<std::string(const Row&, const Cell&)>;

/// Characters, not bytes.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// Markdown with padded columns, so that it reads on a terminal as well; the first line is the head.
std::string markdown_grid(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths(lines.front().size(), 3);
  for (const auto& line : lines) {
    for (size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], width_of(line[c]));
  }
  std::string out;
  for (size_t l = 0; l < lines.size(); ++l) {
    for (size_t c = 0; c < widths.size(); ++c) {
      const std::string space(widths[c] - width_of(lines[l][c]), ' ');
      out += "| " + (c == 0 ? lines[l][c] + space : space + lines[l][c]) + " ";
    }
    out += "|\n";
    if (l > 0) continue;
    for (size_t c = 0; c < widths.size(); ++c)
      out += "| " + std::string(widths[c] - 1, '-') + (c == 0 ? "-" : ":") + " ";
    out += "|\n";
  }
  return out;
}

std::string markdown_table(const Table& table, bool average, const CellText& text) {
  std::vector<std::vector<std::string>> lines = {{"module"}};
  for (const Column& column : table.columns) lines[0].push_back(markdown_escaped(column.title));
  if (average) lines[0].push_back("average");
  for (const Row& row : table.rows) {
    lines.push_back({markdown_escaped(label_of(row))});
    for (size_t c = 0; c < table.columns.size(); ++c) {
      const auto cell = row.cells.find(c);
      lines.back().push_back(cell == row.cells.end() ? "-" : text(row, cell->second));
    }
    if (average)
      lines.back().push_back(row.average.n == 0 ? "-" : format_fixed(kPercent * row.average.mean, 2));
  }
  return markdown_grid(lines);
}

std::string markdown_of(const PublishedTable& table) {
  std::string out =
      concat("\nPublished, not measured here: ", markdown_escaped(table.source), ", ",
             markdown_escaped(table.table), ". Protocol: ", markdown_escaped(table.protocol), ".");
  if (!table.note.empty()) out += " " + markdown_escaped(table.note);
  const auto tasks = tasks_of(table);
  std::vector<std::vector<std::string>> lines = {{"model"}};
  for (const auto& task : tasks) lines[0].push_back(markdown_escaped(task));
  for (const PublishedRow& row : table.rows) {
    lines.push_back({markdown_escaped(row.model)});
    for (const auto& task : tasks) {
      const auto value = row.percent.find(task);
      lines.back().push_back(value == row.percent.end() ? "-" : format_fixed(value->second, 2));
    }
  }
  return out + "\n\n" + markdown_grid(lines);
}

std::string latex_of(const PublishedTable& table) {
  const auto tasks = tasks_of(table);
  std::string out = concat("\n% Published, not measured here: ", one_line(table.source), ", ",
                           one_line(table.table), ". Protocol: ", one_line(table.protocol),
                           "\n\\begin{tabular}{l", std::string(tasks.size(), 'r'), "}\n\\toprule\nmodel");
  for (const auto& task : tasks) out += " & " + latex_escaped(task);
  out += " \\\\\n\\midrule\n";
  for (const PublishedRow& row : table.rows) {
    out += latex_escaped(row.model);
    for (const auto& task : tasks) {
      const auto value = row.percent.find(task);
      out += " & " + (value == row.percent.end() ? "--" : format_fixed(value->second, 2));
    }
    out += " \\\\\n";
  }
  return out + "\\bottomrule\n\\end{tabular}\n";
}

}  // namespace

std::string percent_text(const Statistic& s, const char* plus_minus) {
  if (s.n == 0) return "-";
  std::string text = format_fixed(kPercent * s.mean, 2);
  if (s.n > 1) text += plus_minus + format_fixed(kPercent * s.deviation, 2);
  return text + concat(" (", s.n, ")");
}

std::string to_markdown(const Table& table, const std::vector<Run>& runs,
                        const std::vector<PublishedTable>& published) {
  std::string out =
      "## Test accuracy in %\nMean ± sample standard deviation (number of seeds), at the checkpoint of the "
      "best validation accuracy. †: see the notes.\n\n";
  out += markdown_table(table, table.has_average,
                        [](const Row&, const Cell& c) { return cell_text(c, c.best); });
  out += "\n## Test accuracy in %, at the last step\n\n";
  out += markdown_table(table, false, [](const Row&, const Cell& c) { return cell_text(c, c.last); });
  out +=
      "\n## Cost: steps a second, peak memory, parameters\nOf the machines that the runs were made on; "
      "comparable only where these are the same.\n\n";
  out += markdown_table(table, false, [](const Row&, const Cell& c) {
    return concat(speed_text(c.steps_per_second), ", ", memory_text(c.peak_memory_bytes), ", ",
                  parameters_text(c.parameters));
  });
  for (const auto& other : published) out += markdown_of(other);
  const std::vector<std::string> notes = notes_of(table, runs);
  if (!notes.empty()) out += "\n## Notes\n";
  for (const auto& note : notes) out += "- " + markdown_escaped(note) + "\n";
  return out;
}

std::string to_latex(const Table& table, const std::vector<Run>& runs,
                     const std::vector<PublishedTable>& published) {
  std::string out = concat(
      "% Wants \\usepackage{booktabs}. Test accuracy in percent at the best validation checkpoint: mean, "
      "sample standard\n"
      "% deviation, number of seeds.\n\\begin{tabular}{l",
      std::string(table.columns.size() + (table.has_average ? 1 : 0), 'r'), "}\n\\toprule\nmodule");
  for (const Column& column : table.columns) out += " & " + latex_escaped(column.title);
  out += std::string(table.has_average ? " & average" : "") + " \\\\\n\\midrule\n";
  bool controls = false;
  for (const Row& row : table.rows) {
    if (row.control && !controls && &row != &table.rows.front()) out += "\\midrule\n";
    controls = row.control;
    out += latex_escaped(label_of(row));
    for (size_t c = 0; c < table.columns.size(); ++c) {
      const auto cell = row.cells.find(c);
      out += " & " + (cell == row.cells.end() || cell->second.best.n == 0
                          ? "--"
                          : percent_text(cell->second.best, " $\\pm$ ") +
                                (cell->second.qualified ? "$^\\dagger$" : ""));
    }
    if (table.has_average)
      out += row.average.n == 0 ? " & --" : " & " + format_fixed(kPercent * row.average.mean, 2);
    out += " \\\\\n";
  }
  out += "\\bottomrule\n\\end{tabular}\n";
  const std::vector<std::string> notes = notes_of(table, runs);
  if (!notes.empty())
    out += "\n\\begin{itemize}\\footnotesize % $\\dagger$: one of these concerns the cell\n";
  for (const auto& note : notes) out += "\\item " + latex_escaped(note) + "\n";
  if (!notes.empty()) out += "\\end{itemize}\n";
  for (const auto& other : published) out += latex_of(other);
  return out;
}

}  // namespace lotformer::report
