// SPDX-License-Identifier: MIT
// What lotformer-doctor looks at. Nothing stays behind, nothing is built but what a training would build.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <string>

#include "apps/doctor/report.h"

namespace lotformer::doctor {

/// Revision, compiler, libraries.
void check_build(Report& report);
/// Processors that may be used and why no more, memory.
void check_host(Report& report);
/// The device of that name; where it is not there a problem, and the CPU. Error(usage) for other text.
c10::Device find_device(Report& report, const std::string& text);
/// GPU and driver.
void check_device(Report& report, c10::Device device);
/// What several processes would train one model with: MPI, and on a GPU NCCL, with a sum over this one.
void check_processes(Report& report, c10::Device device);
/// Free space, speed of a small durable write and file locks where runs and data go. A folder that is not
/// there is judged by its nearest parent.
void check_disks(Report& report, const std::filesystem::path& runs, const std::filesystem::path& data);
/// Which tasks have their files below `root`, whose they are, and which have caches.
void check_data(Report& report, const std::filesystem::path& root);
/// Every attention module forward and backward on each core that can run here, beside the same module in
/// plain tensor operators in float64.
void check_attention(Report& report, c10::Device device);

}  // namespace lotformer::doctor
