# Compile and link rules that every target of ours shares.
# ccache, where it is installed, makes the second build of a source quick. It takes a file with GCC's precompiled header only when it is told
# not to mind the defines and times inside.
find_program(LOTFORMER_CCACHE ccache)
if(LOTFORMER_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
                                  ${LOTFORMER_CCACHE})
endif()
add_library(lotformer_options INTERFACE)
target_include_directories(lotformer_options INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_compile_options(lotformer_options INTERFACE -Wall -Wextra -Wpedantic)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(lotformer_options INTERFACE -Wno-restrict)   # false positives of GCC 12 in std::string (GCC bug 105651)
endif()
if(LOTFORMER_WERROR)
  target_compile_options(lotformer_options INTERFACE -Werror)
endif()
if(LOTFORMER_SANITIZE)
  target_compile_options(lotformer_options INTERFACE -fsanitize=${LOTFORMER_SANITIZE}
                         -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(lotformer_options INTERFACE -fsanitize=${LOTFORMER_SANITIZE})
  # GCC's own instrumentation sets it off inside <regex> and <functional>.
  target_compile_options(lotformer_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()

# lotformer_add_library(NAME SOURCES...) : a static library with our warnings, which are for the build alone: who uses the installed library
# (LotformerPackage.cmake) gets its headers and C++20.
function(lotformer_add_library name)
  add_library(${name} STATIC ${ARGN})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(${name} PUBLIC $<BUILD_INTERFACE:lotformer_options>)
  target_compile_features(${name} PUBLIC cxx_std_20)
endfunction()

# lotformer_add_program(NAME SOURCES...) : an executable in bin/, relocatable after installation (see LotformerInstall.cmake).
function(lotformer_add_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE lotformer_options)
  # A toolkit's own folder last: its libraries are not installed by default, and not every toolkit is known to the loader.
  set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/lotformer;${CUDAToolkit_LIBRARY_DIR}")
  install(TARGETS ${name} RUNTIME DESTINATION bin)   # "bin", not CMAKE_INSTALL_BINDIR: the RPATH counts on it
  set_property(GLOBAL APPEND PROPERTY LOTFORMER_PROGRAMS ${name})
endfunction()
