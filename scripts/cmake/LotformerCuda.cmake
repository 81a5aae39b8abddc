# CUDA architectures, and the CUDA language itself. The language is enabled only once there are .cu files: its compiler checks cost
# seconds at every first configuration, and torch's own kernels need none of it.
set(LOTFORMER_CUDA_ARCHITECTURES "" CACHE STRING
    "Empty: the GPU at hand, else 90, each with PTX; 'full': every architecture that a release should carry; or a CMake list such as 80-real;90")
set(LOTFORMER_CUDA_ARCHITECTURES_FULL 80-real 86-real 89-real 90-real 100-real 120-real 90-virtual)

# Sets RESULT to the compute capability of the first GPU as two or three digits, or to "".
function(lotformer_local_gpu result)
  set(${result} "" PARENT_SCOPE)
  find_program(nvidia_smi nvidia-smi NO_CACHE)
  if(nvidia_smi)
    execute_process(COMMAND ${nvidia_smi} --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE text ERROR_QUIET)
    if(text MATCHES "^([0-9]+)\\.([0-9])")
      set(${result} ${CMAKE_MATCH_1}${CMAKE_MATCH_2} PARENT_SCOPE)
    endif()
  endif()
endfunction()

if(LOTFORMER_CUDA_ARCHITECTURES STREQUAL "full")
  set(CMAKE_CUDA_ARCHITECTURES ${LOTFORMER_CUDA_ARCHITECTURES_FULL})
elseif(LOTFORMER_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES ${LOTFORMER_CUDA_ARCHITECTURES})
else()
  lotformer_local_gpu(_gpu)
  if(NOT _gpu)
    set(_gpu 90)
  endif()
  set(CMAKE_CUDA_ARCHITECTURES ${_gpu}-real ${_gpu}-virtual)
endif()
message(STATUS "CUDA architectures: ${CMAKE_CUDA_ARCHITECTURES}")

set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)   # one runtime in the process: LibTorch brings the shared one
file(GLOB_RECURSE _cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.cu)
if(_cuda_sources)
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  endif()
  enable_language(CUDA)
endif()
