// SPDX-License-Identifier: MIT
#include "embedded.h"

// The assembler takes the bytes of a file as they are; a C++ literal of five megabytes would take the
// compiler minutes.
#define EMBED(name, path)                                                                                   \
  __asm__(                                                                                                  \
      ".section .rodata\n"                                                                                  \
      ".global lotformer_embedded_" #name "\nlotformer_embedded_" #name ":\n.incbin \"" path                \
      "\"\n"                                                                                                \
      ".global lotformer_embedded_end_" #name "\nlotformer_embedded_end_" #name ":\n.byte 0\n.previous\n"); \
  extern "C" const char lotformer_embedded_##name[], lotformer_embedded_end_##name[];                       \
  std::string_view lotformer::report::embedded::name() {                                                    \
    return {lotformer_embedded_##name, lotformer_embedded_end_##name};                                      \
  }

EMBED(page_html, LOTFORMER_REPORT_PAGE "/page.html")
EMBED(page_css, LOTFORMER_REPORT_PAGE "/page.css")
EMBED(charts_js, LOTFORMER_REPORT_PAGE "/charts.js")
EMBED(tables_js, LOTFORMER_REPORT_PAGE "/tables.js")
EMBED(page_js, LOTFORMER_REPORT_PAGE "/page.js")
EMBED(published_yaml, LOTFORMER_REPORT_PUBLISHED)
#ifdef LOTFORMER_REPORT_PLOTLY
EMBED(plotly_js, LOTFORMER_REPORT_PLOTLY)
#else
std::string_view lotformer::report::embedded::plotly_js() {
  return {};
}
#endif
