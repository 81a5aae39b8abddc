# The libraries for other projects (docs/library.md): headers, static libraries, a CMake package and a pkg-config file for the operators.
#   cmake --install build/<preset> --prefix X                           with everything else
#   cmake --install build/<preset> --prefix X --component development    these alone
# The folder may be moved; LibTorch and the system packages that the libraries need are looked for where the package is used.
include(CMakePackageConfigHelpers)
set(LOTFORMER_PACKAGE_FOLDER lib/cmake/lotformer)

# Every library with what a user of it sees: lotformer_ops becomes lotformer::ops.
set(_libraries lotformer_core lotformer_config lotformer_data)
set(_headers core config data)
if(LOTFORMER_TORCH)
  list(APPEND _libraries lotformer_ops lotformer)
  list(APPEND _headers ops attention model train)
  if(LOTFORMER_HAS_CUDA)
    list(APPEND _libraries lotformer_pivot_cuda)
  endif()
endif()
foreach(_library IN LISTS _libraries)
  string(REGEX REPLACE "^lotformer_" "" _name ${_library})
  set_target_properties(${_library} PROPERTIES EXPORT_NAME ${_name})
endforeach()
install(TARGETS ${_libraries} EXPORT lotformerTargets ARCHIVE DESTINATION lib COMPONENT development INCLUDES DESTINATION include)
install(EXPORT lotformerTargets NAMESPACE lotformer:: DESTINATION ${LOTFORMER_PACKAGE_FOLDER} COMPONENT development)
foreach(_module IN LISTS _headers)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lotformer/${_module} DESTINATION include/lotformer COMPONENT development
          FILES_MATCHING PATTERN "*.h")
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/scripts/cmake/lotformerConfig.cmake.in ${PROJECT_BINARY_DIR}/package/lotformerConfig.cmake
                              INSTALL_DESTINATION ${LOTFORMER_PACKAGE_FOLDER} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/lotformerConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/lotformerConfig.cmake ${PROJECT_BINARY_DIR}/package/lotformerConfigVersion.cmake
              scripts/cmake/LotformerSystemTargets.cmake scripts/cmake/LotformerTorchTarget.cmake
        DESTINATION ${LOTFORMER_PACKAGE_FOLDER} COMPONENT development)
if(NOT LOTFORMER_TORCH)
  return()
endif()

# pkg-config. `torchdir` is the LibTorch of this build; another place: pkg-config --define-variable=torchdir=FOLDER.
set(LOTFORMER_PC_LIBS "-llotformer_ops")
set(LOTFORMER_PC_CFLAGS "")
if(LOTFORMER_HAS_CUDA)
  string(APPEND LOTFORMER_PC_LIBS " -llotformer_pivot_cuda -L${CUDAToolkit_LIBRARY_DIR} -lcudart")
  set(LOTFORMER_PC_CFLAGS "-isystem ${CUDAToolkit_INCLUDE_DIRS} -DLOTFORMER_HAS_CUDA=1")
endif()
string(APPEND LOTFORMER_PC_LIBS " -llotformer_core -L\${torchdir}/lib")
if(LOTFORMER_HAS_CUDA)
  string(APPEND LOTFORMER_PC_LIBS " -Wl,--push-state,--no-as-needed -ltorch_cuda -lc10_cuda -Wl,--pop-state")
endif()
string(APPEND LOTFORMER_PC_LIBS " -ltorch_cpu -lc10 -Wl,--disable-new-dtags,-rpath,\${torchdir}/lib")
file(GLOB _nvidia RELATIVE ${LOTFORMER_TORCH_DIR} ${LOTFORMER_TORCH_DIR}/../nvidia/*/lib)
foreach(_folder IN LISTS _nvidia)
  string(APPEND LOTFORMER_PC_LIBS " -Wl,-rpath-link,\${torchdir}/${_folder}")
endforeach()
configure_file(scripts/cmake/lotformer-ops.pc.in ${PROJECT_BINARY_DIR}/package/lotformer-ops.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/lotformer-ops.pc DESTINATION lib/pkgconfig COMPONENT development)
# For torch.ops.load_library, where it was built (it is no part of `all`). Not in lib, where -llotformer_ops would find it.
install(FILES $<TARGET_FILE:lotformer_ops_shared> DESTINATION lib/lotformer COMPONENT development OPTIONAL)
