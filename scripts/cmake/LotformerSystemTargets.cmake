# Targets for system packages that bring none, or one of another name: for our own build and, installed beside lotformerConfig.cmake, for
# projects that use the libraries.
find_path(XXHASH_INCLUDE_DIR xxhash.h)
find_library(XXHASH_LIBRARY xxhash)
if(NOT XXHASH_INCLUDE_DIR OR NOT XXHASH_LIBRARY)
  message(FATAL_ERROR "xxhash not found: install libxxhash-dev, or set XXHASH_INCLUDE_DIR and XXHASH_LIBRARY")
endif()
if(NOT TARGET lotformer::xxhash)
  add_library(lotformer::xxhash INTERFACE IMPORTED)
  set_target_properties(lotformer::xxhash PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${XXHASH_INCLUDE_DIR}"
                                                     INTERFACE_LINK_LIBRARIES "${XXHASH_LIBRARY}")
endif()
if(TARGET yaml-cpp AND NOT TARGET yaml-cpp::yaml-cpp)   # yaml-cpp 0.7 exports the plain name
  add_library(yaml-cpp::yaml-cpp INTERFACE IMPORTED)
  set_target_properties(yaml-cpp::yaml-cpp PROPERTIES INTERFACE_LINK_LIBRARIES yaml-cpp)
endif()
