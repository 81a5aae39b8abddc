# System packages. On Debian/Ubuntu scripts/deps.sh installs them.
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Threads REQUIRED)
find_package(spdlog REQUIRED)
find_package(PNG REQUIRED)
include(LotformerSystemTargets)    # lotformer::xxhash, yaml-cpp::yaml-cpp
if(LOTFORMER_TESTS)
  find_package(Catch2 REQUIRED)     # version 2 or 3
endif()

# Where scripts/deps.sh has put what it fetches.
if(LOTFORMER_DEPS_DIR)
  set(LOTFORMER_DEPS ${LOTFORMER_DEPS_DIR})
elseif(DEFINED ENV{LOTFORMER_DEPS_DIR})
  set(LOTFORMER_DEPS $ENV{LOTFORMER_DEPS_DIR})
else()
  set(LOTFORMER_DEPS ${PROJECT_SOURCE_DIR}/.deps)
endif()

# lotformer_find_plotly(RESULT): path of plotly.min.js, the picture library of lotformer-report's page, or empty.
function(lotformer_find_plotly result)
  file(GLOB found ${LOTFORMER_DEPS}/plotly-*/plotly/package_data/plotly.min.js)
  list(SORT found)
  if(found)
    list(GET found -1 newest)
    set(${result} ${newest} PARENT_SCOPE)
  else()
    set(${result} "" PARENT_SCOPE)
  endif()
endfunction()
