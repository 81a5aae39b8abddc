# Imported target lotformer::torch, and LOTFORMER_HAS_CUDA.
# LibTorch is (1) the one on CMAKE_PREFIX_PATH (cmake variable or environment): a LibTorch zip, a wheel's torch/ folder, a folder that
# holds one of them, or torch.utils.cmake_prefix_path; else (2) the wheel that scripts/deps.sh unpacked.
# find_package(Torch) is not used: without a CUDA toolkit it is a hard error even for a CPU build, and it rewrites CMAKE_CUDA_FLAGS.
set(LOTFORMER_TORCH_TESTED 2.11.0)
set(LOTFORMER_TORCH_MINIMUM 2.9.0)

# --- where it is -------------------------------------------------------------------------------------------------------------------
set(_prefixes ${CMAKE_PREFIX_PATH})
if(DEFINED ENV{CMAKE_PREFIX_PATH})
  string(REPLACE ":" ";" _environment "$ENV{CMAKE_PREFIX_PATH}")
  list(APPEND _prefixes ${_environment})
endif()
list(APPEND _prefixes ${LOTFORMER_DEPS}/torch-${LOTFORMER_TORCH_TESTED})
set(LOTFORMER_TORCH_DIR "")
foreach(_prefix IN LISTS _prefixes)
  foreach(_suffix "." torch libtorch ../..)
    get_filename_component(_candidate "${_prefix}/${_suffix}" ABSOLUTE)
    if(NOT LOTFORMER_TORCH_DIR AND EXISTS ${_candidate}/include/torch/script.h AND EXISTS ${_candidate}/lib/libtorch_cpu.so)
      set(LOTFORMER_TORCH_DIR ${_candidate})
    endif()
  endforeach()
endforeach()
if(NOT LOTFORMER_TORCH_DIR)
  message(FATAL_ERROR "LibTorch not found on CMAKE_PREFIX_PATH nor in ${LOTFORMER_DEPS}: run scripts/deps.sh, "
                      "or pass -DCMAKE_PREFIX_PATH=<folder with include/torch and lib/libtorch_cpu.so>")
endif()
set(LOTFORMER_TORCH_INCLUDE ${LOTFORMER_TORCH_DIR}/include)
set(LOTFORMER_TORCH_LIB ${LOTFORMER_TORCH_DIR}/lib)

# --- its version -------------------------------------------------------------------------------------------------------------------
set(_version 0.0.0)
foreach(_header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(_version STREQUAL "0.0.0" AND EXISTS ${LOTFORMER_TORCH_INCLUDE}/${_header})
    file(READ ${LOTFORMER_TORCH_INCLUDE}/${_header} _text)
    if(_text MATCHES "define TORCH_VERSION_MAJOR ([0-9]+).*define TORCH_VERSION_MINOR ([0-9]+).*define TORCH_VERSION_PATCH ([0-9]+)")
      set(_version ${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${CMAKE_MATCH_3})
    endif()
  endif()
endforeach()
if(_version VERSION_LESS LOTFORMER_TORCH_MINIMUM)   # from here on every LibTorch has the C++11 string ABI, too
  message(FATAL_ERROR "LibTorch ${_version} in ${LOTFORMER_TORCH_DIR} is too old: ${LOTFORMER_TORCH_MINIMUM} or newer is needed "
                      "(tested with ${LOTFORMER_TORCH_TESTED}); take it off CMAKE_PREFIX_PATH and run scripts/deps.sh")
endif()
message(STATUS "LibTorch ${_version}: ${LOTFORMER_TORCH_DIR}")

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
function(lotformer_import_torch_library name)
  add_library(lotformer::${name} SHARED IMPORTED)
  set_target_properties(lotformer::${name} PROPERTIES IMPORTED_LOCATION ${LOTFORMER_TORCH_LIB}/lib${name}.so)
endfunction()
lotformer_import_torch_library(torch_cpu)
lotformer_import_torch_library(c10)

add_library(lotformer_torch INTERFACE)
add_library(lotformer::torch ALIAS lotformer_torch)
target_include_directories(lotformer_torch SYSTEM INTERFACE ${LOTFORMER_TORCH_INCLUDE}
                           ${LOTFORMER_TORCH_INCLUDE}/torch/csrc/api/include)
target_compile_definitions(lotformer_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
target_link_libraries(lotformer_torch INTERFACE lotformer::torch_cpu lotformer::c10)
# RUNPATH is not inherited by the libraries that LibTorch itself needs: keep the old RPATH tag.
target_link_options(lotformer_torch INTERFACE LINKER:--disable-new-dtags)
# The linker looks through the libraries that LibTorch needs, but does not follow their own $ORIGIN paths.
get_filename_component(LOTFORMER_TORCH_WHEELS ${LOTFORMER_TORCH_DIR}/../nvidia ABSOLUTE)
file(GLOB _nvidia LIST_DIRECTORIES true ${LOTFORMER_TORCH_WHEELS}/*/lib)
foreach(_folder IN LISTS _nvidia)
  target_link_options(lotformer_torch INTERFACE LINKER:-rpath-link,${_folder})
endforeach()

if(LOTFORMER_HAS_CUDA)
  lotformer_import_torch_library(torch_cuda)
  lotformer_import_torch_library(c10_cuda)
  # Nothing refers to a symbol of these: their registrations are what is wanted, so the linker must not drop them as unused.
  foreach(_language CXX CUDA)
    set(CMAKE_${_language}_LINK_LIBRARY_USING_lotformer_needed
        LINKER:--push-state,--no-as-needed <LINK_ITEM> LINKER:--pop-state)
    set(CMAKE_${_language}_LINK_LIBRARY_USING_lotformer_needed_SUPPORTED TRUE)
  endforeach()
  target_link_libraries(lotformer_torch INTERFACE "$<LINK_LIBRARY:lotformer_needed,lotformer::torch_cuda,lotformer::c10_cuda>"
                        CUDA::cudart)   # c10's headers call the runtime directly
  target_include_directories(lotformer_torch SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_definitions(lotformer_torch INTERFACE LOTFORMER_HAS_CUDA=1)
  target_link_options(lotformer_torch INTERFACE LINKER:-rpath-link,${CUDAToolkit_LIBRARY_DIR})
  # LibTorch knows the places of the NVIDIA wheels only. They come first: theirs are the versions that it was built with.
  list(APPEND CMAKE_BUILD_RPATH ${_nvidia} ${CUDAToolkit_LIBRARY_DIR})
  include(LotformerCuda)
endif()
