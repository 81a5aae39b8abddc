# cmake --install build/<preset> --prefix X (docs/installing.md): X/bin, X/share/lotformer/configs, and in X/lib/lotformer the shared libraries of LibTorch
# and of the NVIDIA wheels beside it, so that X may be moved and the build tree and .deps deleted. Libraries of the system and of an
# installed CUDA toolkit (gigabytes, and tied to the driver's machine) stay where they are, unless LOTFORMER_INSTALL_CUDA_LIBS is ON.
option(LOTFORMER_INSTALL_CUDA_LIBS "Install the CUDA toolkit's shared libraries as well (about 2 GB)" OFF)
install(DIRECTORY configs/ DESTINATION share/lotformer/configs FILES_MATCHING PATTERN "*.yaml")
install(FILES LICENSE README.md DESTINATION share/doc/lotformer OPTIONAL)

get_property(_programs GLOBAL PROPERTY LOTFORMER_PROGRAMS)

# Manual pages and completions are what the programs print: X/share/man/man1, X/share/bash-completion/completions (alone: --component manual).
foreach(_program IN LISTS _programs)
  install(CODE "
    set(_man \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/man/man1\")
    set(_completions \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/bash-completion/completions\")
    file(MAKE_DIRECTORY \"\${_man}\" \"\${_completions}\")
    message(STATUS \"Writing: \${_man}/${_program}.1 and \${_completions}/${_program}\")
    execute_process(COMMAND \"$<TARGET_FILE:${_program}>\" --man OUTPUT_FILE \"\${_man}/${_program}.1\" COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \"$<TARGET_FILE:${_program}>\" --completion bash OUTPUT_FILE \"\${_completions}/${_program}\"
                    COMMAND_ERROR_IS_FATAL ANY)" COMPONENT manual)
endforeach()
if(LOTFORMER_TORCH AND _programs)
  set(LOTFORMER_INSTALL_FROM ${LOTFORMER_TORCH_LIB} ${LOTFORMER_TORCH_WHEELS})
  if(LOTFORMER_HAS_CUDA AND LOTFORMER_INSTALL_CUDA_LIBS)
    list(APPEND LOTFORMER_INSTALL_FROM ${CUDAToolkit_LIBRARY_DIR})
  endif()
  set(LOTFORMER_INSTALL_ALSO "")
  if(LOTFORMER_HAS_CUDA)   # opened by name when first needed, so no NEEDED entry leads to them
    file(GLOB LOTFORMER_INSTALL_ALSO ${LOTFORMER_TORCH_LIB}/libtorch_cuda_linalg.so ${LOTFORMER_TORCH_LIB}/libcaffe2_nvrtc.so
         ${LOTFORMER_TORCH_WHEELS}/*/lib/libcudnn_*.so.* ${LOTFORMER_TORCH_WHEELS}/*/lib/libnvrtc-builtins.so.*)
    if(LOTFORMER_INSTALL_CUDA_LIBS)
      file(GLOB _opened ${CUDAToolkit_LIBRARY_DIR}/libcudnn_*.so.* ${CUDAToolkit_LIBRARY_DIR}/libnvrtc-builtins.so.*)
      list(APPEND LOTFORMER_INSTALL_ALSO ${_opened})
    endif()
  endif()
  list(TRANSFORM _programs REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE LOTFORMER_INSTALL_PROGRAMS)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/install_libraries.cmake.in @ONLY
       CONTENT "set(programs \"@LOTFORMER_INSTALL_PROGRAMS@\")
set(from \"@LOTFORMER_INSTALL_FROM@\")
set(also \"@LOTFORMER_INSTALL_ALSO@\")
set(toolkit \"@CUDAToolkit_LIBRARY_DIR@\")
include(@PROJECT_SOURCE_DIR@/scripts/cmake/install_libraries.cmake)
")
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/install_libraries.cmake INPUT ${PROJECT_BINARY_DIR}/install_libraries.cmake.in)
  install(SCRIPT ${PROJECT_BINARY_DIR}/install_libraries.cmake)
endif()
