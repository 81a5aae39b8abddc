// SPDX-License-Identifier: MIT
// Checkpoints that were handed on as model.safetensors and state.json, without a manifest.
#include "cli/support.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> short_run(std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--set", "train.steps=8", "--set", "train.eval_every=4"});
  return more;
}

/// A folder with those two files of the newest checkpoint.
fs::path hand_on(const fs::path& run, const fs::path& folder) {
  fs::create_directories(folder);
  for (const char* name : {"model.safetensors", "state.json"})
    fs::copy_file(newest_checkpoint(run) / name, folder / name);
  return folder;
}

}  // namespace

TEST_CASE("weights and state without a manifest are scored, and a line says what was not checked", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  must_run(train_command(path, short_run()));
  const Finished whole = must_run(eval_command(newest_checkpoint(path)));
  const fs::path handed = hand_on(path, folder.path() / "handed");
  const Finished alone = must_run(eval_command(handed));
  CHECK_THAT(alone.err, contains_text("handed: has no manifest.json, so sizes and digests of "
                                      "model.safetensors and state.json were not checked"));
  CHECK_THAT(whole.err, !contains_text("manifest"));
  for (const char* key : {"accuracy", "loss", "examples", "step", "same_data"})
    CHECK(Json::parse(alone.out).at(key) == Json::parse(whole.out).at(key));

  const Finished begun =
      must_run(train_command(folder.path() / "next", short_run({"--init-from", handed.string()})));
  CHECK_THAT(begun.err, contains_text("handed: has no manifest.json"));
  // Going on needs the optimiser, too.
  CHECK_THAT(must_run(train_command(folder.path() / "on", short_run({"--resume", handed.string()})), 4).err,
             contains_text("manifest.json: is missing"));
}

TEST_CASE("a run's checkpoint without its manifest stays refused", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  must_run(train_command(path, short_run()));
  const fs::path newest = newest_checkpoint(path);
  fs::remove(newest / "manifest.json");
  for (const fs::path& name : {newest, newest / "", newest / "."})
    CHECK_THAT(must_run(eval_command(name), 4).err, contains_text("manifest.json: is missing"));
  fs::create_directory_symlink(newest, folder.path() / "link");
  CHECK_THAT(must_run(eval_command(folder.path() / "link"), 4).err,
             contains_text("manifest.json: is missing"));
}

TEST_CASE("weights alone that are not whole are named", "[cli]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "run";
  must_run(train_command(path, short_run()));
  const fs::path handed = hand_on(path, folder.path() / "handed");
  fs::resize_file(handed / "model.safetensors", fs::file_size(handed / "model.safetensors") - 4);
  CHECK_THAT(must_run(eval_command(handed), 4).err, contains_text("model.safetensors"));
  fs::remove(handed / "state.json");
  CHECK_THAT(must_run(eval_command(handed), 4).err, contains_text("manifest.json: is missing"));
}
