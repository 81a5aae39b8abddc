# Imported target lotformer::torch from (1) a LibTorch on CMAKE_PREFIX_PATH, else (2) the wheel that scripts/deps.sh unpacked.
# find_package(Torch) is not used: without a CUDA toolkit it is a hard error even for a CPU build, and it rewrites CMAKE_CUDA_FLAGS.
if(LOTFORMER_DEPS_DIR)
  set(_deps ${LOTFORMER_DEPS_DIR})
elseif(DEFINED ENV{LOTFORMER_DEPS_DIR})
  set(_deps $ENV{LOTFORMER_DEPS_DIR})
else()
  set(_deps ${PROJECT_SOURCE_DIR}/.deps)
endif()
find_path(LOTFORMER_TORCH_INCLUDE torch/script.h PATHS ${_deps}/torch-2.11.0/torch/include
          DOC "include folder of LibTorch")
if(NOT LOTFORMER_TORCH_INCLUDE)
  message(FATAL_ERROR "LibTorch not found on CMAKE_PREFIX_PATH nor in ${_deps}: run scripts/deps.sh, "
                      "or pass -DCMAKE_PREFIX_PATH=<folder with include/torch and lib/libtorch_cpu.so>")
endif()
get_filename_component(LOTFORMER_TORCH_DIR ${LOTFORMER_TORCH_INCLUDE} DIRECTORY)
set(LOTFORMER_TORCH_LIB ${LOTFORMER_TORCH_DIR}/lib)
message(STATUS "LibTorch: ${LOTFORMER_TORCH_DIR}")

set(LOTFORMER_HAS_CUDA OFF)
if(NOT LOTFORMER_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND AND EXISTS ${LOTFORMER_TORCH_LIB}/libtorch_cuda.so)
    set(LOTFORMER_HAS_CUDA ON)
  elseif(LOTFORMER_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LOTFORMER_CUDA=ON needs the CUDA toolkit and a LibTorch with CUDA (libtorch_cuda.so)")
  endif()
endif()
message(STATUS "CUDA: ${LOTFORMER_HAS_CUDA}")

add_library(lotformer_torch INTERFACE)
add_library(lotformer::torch ALIAS lotformer_torch)
target_include_directories(lotformer_torch SYSTEM INTERFACE ${LOTFORMER_TORCH_INCLUDE}
                           ${LOTFORMER_TORCH_INCLUDE}/torch/csrc/api/include)
target_compile_definitions(lotformer_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
# RUNPATH is not inherited by the libraries that LibTorch itself needs: keep the old RPATH tag.
target_link_options(lotformer_torch INTERFACE -Wl,--disable-new-dtags)
target_link_libraries(lotformer_torch INTERFACE ${LOTFORMER_TORCH_LIB}/libtorch_cpu.so ${LOTFORMER_TORCH_LIB}/libc10.so)
if(LOTFORMER_HAS_CUDA)
  # Nothing refers to a symbol of these: their registrations are what is wanted.
  target_link_libraries(lotformer_torch INTERFACE -Wl,--no-as-needed ${LOTFORMER_TORCH_LIB}/libtorch_cuda.so
                        ${LOTFORMER_TORCH_LIB}/libc10_cuda.so -Wl,--as-needed)
  target_include_directories(lotformer_torch SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_definitions(lotformer_torch INTERFACE LOTFORMER_HAS_CUDA=1)
endif()
