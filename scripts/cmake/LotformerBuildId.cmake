# Writes build_id.h with the git revision (and "-dirty"), refreshed at every build.
add_custom_target(lotformer_build_id
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DOUTPUT=${PROJECT_BINARY_DIR}/generated/lotformer_build_id.h
          -DVERSION=${PROJECT_VERSION} -P ${PROJECT_SOURCE_DIR}/scripts/cmake/write_build_id.cmake
  BYPRODUCTS ${PROJECT_BINARY_DIR}/generated/lotformer_build_id.h
  COMMENT "Revision of the sources" VERBATIM)
