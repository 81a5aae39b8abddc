// SPDX-License-Identifier: MIT
// Files that are part of the program, so that it needs none at run time: src/report/page,
// docs/published.yaml, and Plotly (MIT licence) where scripts/deps.sh has fetched it.
#pragma once

#include <string_view>

namespace lotformer::report::embedded {

std::string_view page_html();
std::string_view page_css();
/// The scripts of the page: pictures, tables, and what puts them together, in this order.
std::string_view charts_js();
std::string_view tables_js();
std::string_view page_js();
std::string_view published_yaml();
/// Empty where the program was built without it: the page then has tables and no pictures.
std::string_view plotly_js();

}  // namespace lotformer::report::embedded
