// SPDX-License-Identifier: MIT
#include "lotformer/core/processors.h"

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "lotformer/core/text.h"
#include "support/catch.h"

namespace lotformer {
namespace {
namespace fs = std::filesystem;

/// A folder like /sys/fs/cgroup.
class Groups {
 public:
  Groups() : root_(fs::temp_directory_path() / concat("lotformer-groups-", ::getpid())) {}
  ~Groups() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  Groups& write(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text << "\n";
    return *this;
  }
  std::optional<int64_t> granted(const std::string& memberships) const {
    return granted_processors(memberships, root_);
  }

 private:
  fs::path root_;
};

TEST_CASE("processors: quotas of control groups, rounded up, the smallest on the way up") {
  CHECK(Groups().granted("0::/\n") == std::nullopt);
  CHECK(Groups().write("cpu.max", "max 100000").granted("0::/\n") == std::nullopt);
  CHECK(Groups().write("cpu.max", "200000 100000").granted("0::/\n") == 2);
  CHECK(Groups().write("cpu.max", "150000 100000").granted("0::/\n") == 2);
  CHECK(Groups().write("cpu.max", "1000 100000").granted("0::/\n") == 1);
  Groups nested;
  nested.write("a/cpu.max", "300000 100000").write("a/b/cpu.max", "max 100000");
  CHECK(nested.granted("0::/a/b\n") == 3);
  nested.write("a/b/cpu.max", "100000 100000");
  CHECK(nested.granted("0::/a/b\n") == 1);
  CHECK(nested.granted("0::/elsewhere\n") == std::nullopt);
  // Version 1: the controller has a hierarchy of its own, perhaps together with cpuacct.
  Groups old;
  old.write("cpu,cpuacct/x/cpu.cfs_quota_us", "250000").write("cpu,cpuacct/x/cpu.cfs_period_us", "100000");
  old.write("cpu/cpu.cfs_quota_us", "-1").write("cpu/cpu.cfs_period_us", "100000");
  CHECK(old.granted("4:cpuset:/\n3:cpu,cpuacct:/x\n0::/\n") == 3);
  CHECK(old.granted("1:cpu:/\n") == std::nullopt);
  for (const char* odd : {"", "nonsense", "0:", "::", "0::/../../x\n"}) {
    INFO(odd);
    CHECK(nested.granted(odd) == std::nullopt);
  }
}

TEST_CASE("processors: OMP_NUM_THREADS and the affinity bound what is usable") {
  CHECK(wanted_processors(nullptr) == std::nullopt);
  CHECK(wanted_processors("3") == 3);
  CHECK(wanted_processors("4,2") == 4);
  for (const char* odd : {"", "0", "-1", "two", "2x", "99999999999999999999"}) {
    INFO(odd);
    CHECK(wanted_processors(odd) == std::nullopt);
  }
  ::unsetenv("OMP_NUM_THREADS");
  const int64_t all = usable_processors();
  CHECK(all >= 1);
  CHECK(most_threads() >= std::max<int64_t>(16, all));
  ::setenv("OMP_NUM_THREADS", "1", 1);
  CHECK(usable_processors() == 1);
  ::setenv("OMP_NUM_THREADS", "100000", 1);  // a wish for more does not make more
  CHECK(usable_processors() == all);
  ::unsetenv("OMP_NUM_THREADS");
  cpu_set_t before, one;
  REQUIRE(::sched_getaffinity(0, sizeof(before), &before) == 0);
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  }
  REQUIRE(::sched_setaffinity(0, sizeof(one), &one) == 0);
  CHECK(usable_processors() == 1);
  REQUIRE(::sched_setaffinity(0, sizeof(before), &before) == 0);
}

}  // namespace
}  // namespace lotformer
