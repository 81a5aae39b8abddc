# System packages. On Debian/Ubuntu scripts/deps.sh installs them.
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Threads REQUIRED)
find_package(spdlog REQUIRED)
find_package(PNG REQUIRED)
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)
add_library(lotformer_xxhash INTERFACE)
target_include_directories(lotformer_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR})
target_link_libraries(lotformer_xxhash INTERFACE ${XXHASH_LIBRARY})
if(NOT TARGET yaml-cpp::yaml-cpp)   # yaml-cpp 0.7 exports the plain name
  add_library(yaml-cpp::yaml-cpp INTERFACE IMPORTED)
  target_link_libraries(yaml-cpp::yaml-cpp INTERFACE yaml-cpp)
endif()
if(LOTFORMER_TESTS)
  find_package(Catch2 REQUIRED)     # version 2 or 3
endif()
