# Runs at installation. Copies what PROGRAMS need out of the folders FROM into lib/lotformer, and ALSO with what those need.
# TOOLKIT: where the CUDA toolkit's libraries lie, for looking things up.
set(destination "${CMAKE_INSTALL_PREFIX}/lib/lotformer")
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${programs} LIBRARIES ${also} DIRECTORIES ${toolkit}
     RESOLVED_DEPENDENCIES_VAR resolved UNRESOLVED_DEPENDENCIES_VAR unresolved
     CONFLICTING_DEPENDENCIES_PREFIX conflicting)
foreach(name IN LISTS conflicting_FILENAMES)   # the same library in two folders: the loader takes the first it meets
  list(GET conflicting_${name} 0 first)
  foreach(path IN LISTS conflicting_${name})
    foreach(folder IN LISTS from)
      string(FIND "${path}" "${folder}/" at)
      if(at EQUAL 0)
        set(first ${path})
      endif()
    endforeach()
  endforeach()
  list(APPEND resolved ${first})
endforeach()
list(REMOVE_ITEM unresolved libcuda.so.1)      # the driver's, on machines that have one
if(unresolved)
  message(WARNING "not found, so not installed: ${unresolved}")
endif()
foreach(path IN LISTS resolved also)
  foreach(folder IN LISTS from)
    string(FIND "${path}" "${folder}/" at)
    if(at EQUAL 0)
      file(INSTALL DESTINATION "${destination}" TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN FILES "${path}")
    endif()
  endforeach()
endforeach()
