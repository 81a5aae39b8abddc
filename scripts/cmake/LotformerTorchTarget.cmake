# Where LibTorch is, which version it is, and the imported target lotformer::torch of it: for our own build and, installed beside
# lotformerConfig.cmake, for projects that use the libraries. find_package(Torch) is not used: without a CUDA toolkit it is a hard error even
# for a CPU build, and it rewrites CMAKE_CUDA_FLAGS.

# Sets RESULT to the first LibTorch in the folders: a LibTorch zip, a wheel's torch/ folder, a folder that holds one of them, or what
# torch.utils.cmake_prefix_path names; or to "".
function(lotformer_look_for_torch result)
  set(${result} "" PARENT_SCOPE)
  foreach(prefix IN LISTS ARGN)
    foreach(suffix "." torch libtorch ../..)
      get_filename_component(candidate "${prefix}/${suffix}" ABSOLUTE)
      if(EXISTS ${candidate}/include/torch/script.h AND EXISTS ${candidate}/lib/libtorch_cpu.so)
        set(${result} ${candidate} PARENT_SCOPE)
        return()
      endif()
    endforeach()
  endforeach()
endfunction()

# Sets RESULT to the folders of CMAKE_PREFIX_PATH, the variable's and the environment's.
function(lotformer_prefix_path result)
  set(prefixes ${CMAKE_PREFIX_PATH})
  if(DEFINED ENV{CMAKE_PREFIX_PATH})
    string(REPLACE ":" ";" environment "$ENV{CMAKE_PREFIX_PATH}")
    list(APPEND prefixes ${environment})
  endif()
  set(${result} ${prefixes} PARENT_SCOPE)
endfunction()

# Sets RESULT to the version of the LibTorch in FOLDER, 0.0.0 where its headers do not say.
function(lotformer_torch_version result folder)
  set(version 0.0.0)
  foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(version STREQUAL "0.0.0" AND EXISTS ${folder}/include/${header})
      file(READ ${folder}/include/${header} text)
      if(text MATCHES "define TORCH_VERSION_MAJOR ([0-9]+).*define TORCH_VERSION_MINOR ([0-9]+).*define TORCH_VERSION_PATCH ([0-9]+)")
        set(version ${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${CMAKE_MATCH_3})
      endif()
    endif()
  endforeach()
  set(${result} ${version} PARENT_SCOPE)
endfunction()

function(lotformer_import_torch_library name folder)
  add_library(lotformer::${name} SHARED IMPORTED)
  set_target_properties(lotformer::${name} PROPERTIES IMPORTED_LOCATION ${folder}/lib/lib${name}.so)
endfunction()

# Makes lotformer::torch of the LibTorch in FOLDER; with CUDA (ON or OFF) it brings torch's CUDA half and needs find_package(CUDAToolkit) before.
# A macro: what it says of how CUDA's libraries are linked is looked up in the caller's folder.
macro(lotformer_import_torch folder cuda)
  lotformer_import_torch_library(torch_cpu ${folder})
  lotformer_import_torch_library(c10 ${folder})
  add_library(lotformer::torch INTERFACE IMPORTED)
  set_target_properties(lotformer::torch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${folder}/include;${folder}/include/torch/csrc/api/include"   # of an imported target: system headers
    INTERFACE_COMPILE_DEFINITIONS _GLIBCXX_USE_CXX11_ABI=1
    INTERFACE_LINK_LIBRARIES "lotformer::torch_cpu;lotformer::c10")
  # RUNPATH is not inherited by the libraries that LibTorch itself needs: keep the old RPATH tag.
  target_link_options(lotformer::torch INTERFACE LINKER:--disable-new-dtags)
  # The linker looks through the libraries that LibTorch needs, but does not follow their own $ORIGIN paths.
  file(GLOB _lotformer_nvidia LIST_DIRECTORIES true ${folder}/../nvidia/*/lib)
  foreach(_lotformer_folder IN LISTS _lotformer_nvidia)
    get_filename_component(_lotformer_folder ${_lotformer_folder} ABSOLUTE)
    target_link_options(lotformer::torch INTERFACE LINKER:-rpath-link,${_lotformer_folder})
  endforeach()
  if(${cuda})
    lotformer_import_torch_library(torch_cuda ${folder})
    lotformer_import_torch_library(c10_cuda ${folder})
    # Nothing refers to a symbol of these: their registrations are what is wanted, so the linker must not drop them as unused.
    foreach(_lotformer_language CXX CUDA)
      set(CMAKE_${_lotformer_language}_LINK_LIBRARY_USING_lotformer_needed
          LINKER:--push-state,--no-as-needed <LINK_ITEM> LINKER:--pop-state)
      set(CMAKE_${_lotformer_language}_LINK_LIBRARY_USING_lotformer_needed_SUPPORTED TRUE)
    endforeach()
    target_link_libraries(lotformer::torch INTERFACE "$<LINK_LIBRARY:lotformer_needed,lotformer::torch_cuda,lotformer::c10_cuda>"
                          CUDA::cudart)   # c10's headers call the runtime directly
    target_include_directories(lotformer::torch INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
    target_compile_definitions(lotformer::torch INTERFACE LOTFORMER_HAS_CUDA=1)
    target_link_options(lotformer::torch INTERFACE LINKER:-rpath-link,${CUDAToolkit_LIBRARY_DIR})
  endif()
endmacro()
