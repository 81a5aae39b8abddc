# Imported target lotformer::torch, and LOTFORMER_HAS_CUDA.
# LibTorch is (1) the one on CMAKE_PREFIX_PATH (cmake variable or environment), else (2) the wheel that scripts/deps.sh unpacked.
set(LOTFORMER_TORCH_TESTED 2.11.0)
set(LOTFORMER_TORCH_MINIMUM 2.9.0)
include(LotformerTorchTarget)

# --- where it is, and its version --------------------------------------------------------------------------------------------------
lotformer_prefix_path(_prefixes)
lotformer_look_for_torch(LOTFORMER_TORCH_DIR ${_prefixes} ${LOTFORMER_DEPS}/torch-${LOTFORMER_TORCH_TESTED})
if(NOT LOTFORMER_TORCH_DIR)
  message(FATAL_ERROR "LibTorch not found on CMAKE_PREFIX_PATH nor in ${LOTFORMER_DEPS}: run scripts/deps.sh, "
                      "or pass -DCMAKE_PREFIX_PATH=<folder with include/torch and lib/libtorch_cpu.so>")
endif()
set(LOTFORMER_TORCH_LIB ${LOTFORMER_TORCH_DIR}/lib)
lotformer_torch_version(LOTFORMER_TORCH_VERSION ${LOTFORMER_TORCH_DIR})
if(LOTFORMER_TORCH_VERSION VERSION_LESS LOTFORMER_TORCH_MINIMUM)   # from here on every LibTorch has the C++11 string ABI, too
  message(FATAL_ERROR "LibTorch ${LOTFORMER_TORCH_VERSION} in ${LOTFORMER_TORCH_DIR} is too old: ${LOTFORMER_TORCH_MINIMUM} or newer is needed "
                      "(tested with ${LOTFORMER_TORCH_TESTED}); take it off CMAKE_PREFIX_PATH and run scripts/deps.sh")
endif()
message(STATUS "LibTorch ${LOTFORMER_TORCH_VERSION}: ${LOTFORMER_TORCH_DIR}")

# --- CUDA or not -------------------------------------------------------------------------------------------------------------------
# Sets RESULT to the one sentence that says why CUDA cannot be used, or to "".
function(lotformer_cuda_refusal result)
  set(${result} "" PARENT_SCOPE)
  if(NOT CUDAToolkit_FOUND OR NOT CUDAToolkit_NVCC_EXECUTABLE)
    set(${result} "no CUDA toolkit (nvcc) was found" PARENT_SCOPE)
    return()
  endif()
  if(NOT EXISTS ${LOTFORMER_TORCH_LIB}/libtorch_cuda.so)
    set(${result} "this LibTorch was built without CUDA (no libtorch_cuda.so)" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${LOTFORMER_TORCH_LIB}/libtorch_cuda.so OUTPUT_VARIABLE headers ERROR_QUIET)
  if(headers MATCHES "NEEDED +libcudart[^\n]*\\.so\\.([0-9]+)" AND NOT CMAKE_MATCH_1 EQUAL CUDAToolkit_VERSION_MAJOR)
    set(${result} "LibTorch needs CUDA ${CMAKE_MATCH_1}, the toolkit is ${CUDAToolkit_VERSION}" PARENT_SCOPE)
    return()
  endif()
  set(folders ${CUDAToolkit_LIBRARY_DIR} $ENV{LD_LIBRARY_PATH})
  string(REPLACE ";" ":" folders "${folders}")
  execute_process(COMMAND ${CMAKE_COMMAND} -E env "LD_LIBRARY_PATH=${folders}" ldd ${LOTFORMER_TORCH_LIB}/libtorch_cuda.so
                  OUTPUT_VARIABLE needed ERROR_QUIET)
  string(REGEX MATCHALL "[^ \t\n]+ => not found" missing "${needed}")
  list(TRANSFORM missing REPLACE " => not found" "")
  list(REMOVE_DUPLICATES missing)
  if(missing)
    string(REPLACE ";" ", " missing "${missing}")
    set(${result} "libraries that LibTorch needs for CUDA are missing (${missing}): run scripts/deps.sh" PARENT_SCOPE)
  endif()
endfunction()

set(LOTFORMER_HAS_CUDA OFF)
if(LOTFORMER_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: off, as asked")
else()
  find_package(CUDAToolkit QUIET)
  lotformer_cuda_refusal(_refusal)
  if(NOT _refusal)
    set(LOTFORMER_HAS_CUDA ON)
    message(STATUS "CUDA: ${CUDAToolkit_VERSION} (${CUDAToolkit_BIN_DIR})")
  elseif(LOTFORMER_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LOTFORMER_CUDA=ON, but ${_refusal}")
  elseif(CUDAToolkit_NVCC_EXECUTABLE)
    message(WARNING "Building for the CPU only: ${_refusal}")
  else()
    message(STATUS "CUDA: off, ${_refusal}")
  endif()
endif()

# --- targets -----------------------------------------------------------------------------------------------------------------------
lotformer_import_torch(${LOTFORMER_TORCH_DIR} ${LOTFORMER_HAS_CUDA})
get_filename_component(LOTFORMER_TORCH_WHEELS ${LOTFORMER_TORCH_DIR}/../nvidia ABSOLUTE)
if(LOTFORMER_HAS_CUDA)
  # LibTorch knows the places of the NVIDIA wheels only. They come first: theirs are the versions that it was built with.
  file(GLOB _nvidia LIST_DIRECTORIES true ${LOTFORMER_TORCH_WHEELS}/*/lib)
  list(APPEND CMAKE_BUILD_RPATH ${_nvidia} ${CUDAToolkit_LIBRARY_DIR})
  include(LotformerCuda)
endif()
