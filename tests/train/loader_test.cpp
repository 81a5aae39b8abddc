// SPDX-License-Identifier: MIT
// Batches of the tasks: what is padded, what is masked, and where pixels that moved to the front have been.
#include "train/feed/loader.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>

#include <algorithm>
#include <set>
#include <vector>

#include "lotformer/attention/attention.h"
#include "lotformer/attention/lotformer.h"
#include "lotformer/data/task.h"
#include "lotformer/model/encoder.h"
#include "support/catch.h"
#include "train/fixture_copy.h"

using namespace lotformer;
using lotformer::test::all_rows;
using Copy = lotformer::test::FixtureCopy;

namespace {

std::vector<int64_t> numbers(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

}  // namespace

TEST_CASE("images: every pixel is real, no lengths, no positions") {
  const Copy copy("cifar-10-batches-bin");
  const data::Dataset test = data::open_task("image", copy.options())->open(data::Split::test);
  const Batch batch = make_batch(test, all_rows(test), 0, c10::kCPU);
  CHECK(batch.ids.sizes() == at::IntArrayRef{1, test.size(), 1024});
  CHECK_FALSE(batch.lengths.defined());
  CHECK_FALSE(batch.positions.defined());
  const auto ids = numbers(batch.ids[0][7]);
  CHECK(std::equal(ids.begin(), ids.end(), test.bytes(7).begin()));
  const Batch wider = make_batch(test, all_rows(test), 1030, c10::kCPU);
  REQUIRE(wider.lengths.defined());
  CHECK(wider.lengths.eq(1024).all().item<bool>());
}

TEST_CASE("images with masked black pixels: ink first, each with its place, the black ones behind") {
  const Copy copy("cifar-10-batches-bin");
  data::DataOptions options = copy.options();
  options.mask_zero_pixels = true;
  const data::Dataset train = data::open_task("image", options)->open(data::Split::train);
  const std::vector<int64_t> rows = all_rows(train);
  const Batch batch = make_batch(train, rows, 1024, c10::kCPU);
  REQUIRE(batch.positions.defined());
  REQUIRE(batch.lengths.defined());
  int black = 0;
  for (const int64_t row : rows) {
    const auto pixels = train.bytes(row);
    const auto ids = numbers(batch.ids[0][row]), places = numbers(batch.positions[0][row]);
    const int64_t ink = std::count_if(pixels.begin(), pixels.end(), [](uint8_t p) { return p != 0; });
    CHECK(batch.lengths[0][row].item<int64_t>() == std::max<int64_t>(1, ink));
    CHECK(std::set<int64_t>(places.begin(), places.end()).size() == 1024);  // a permutation of the image
    CHECK(std::is_sorted(places.begin(), places.begin() + ink));
    bool equal = true;
    for (size_t i = 0; i < ids.size(); ++i) {
      equal = equal && ids[i] == pixels[static_cast<size_t>(places[i])] &&
              (ids[i] != 0) == (static_cast<int64_t>(i) < ink);
    }
    CHECK(equal);
    black += ink == 0 ? 1 : 0;
  }
  CHECK(black > 0);  // the fixture has an image without ink

  const int64_t longest = batch.lengths.max().item<int64_t>();
  const Batch narrow = make_batch(train, rows, 0, c10::kCPU);
  CHECK(narrow.ids.size(2) == longest);
  CHECK(at::equal(narrow.ids, batch.ids.narrow(2, 0, longest)));
  CHECK(at::equal(narrow.positions, batch.positions.narrow(2, 0, longest)));
  const Batch wide = make_batch(train, rows, 1026, c10::kCPU);
  CHECK(numbers(wide.positions[0][3].narrow(0, 1024, 2)) == std::vector<int64_t>{1024, 1025});
}

TEST_CASE("images with masked black pixels: the published arithmetic sees the image in its own order") {
  const Copy copy("cifar-10-batches-bin");
  data::DataOptions options = copy.options();
  const std::vector<int64_t> rows = {0, 3, 4};
  const Batch natural =
      make_batch(data::open_task("image", options)->open(data::Split::train), rows, 0, c10::kCPU);
  options.mask_zero_pixels = true;
  const Batch front =
      make_batch(data::open_task("image", options)->open(data::Split::train), rows, 1024, c10::kCPU);
  LotformerOptions lotformer;
  lotformer.mode = "reference";  // ignores the lengths, as the published code does
  EncoderImpl encoder({256, 1024, 1, 8, 2, 4, 8, 0.0}, [&](const AttentionShape& shape) {
    return find_attention("lotformer").build(lotformer, shape);
  });
  encoder.to(at::kDouble);
  encoder.eval();
  const at::NoGradGuard no_grad;
  const auto run = [&encoder](const at::Tensor& ids, const at::Tensor& lengths, const at::Tensor& positions) {
    return encoder.forward(ids, encoder.layout({ids, lengths, {}}), positions)
        .view({ids.size(0), ids.size(1), -1});
  };
  const at::Tensor expected = run(natural.ids[0], {}, {});
  const at::Tensor found = run(front.ids[0], front.lengths[0], front.positions[0]);
  const at::Tensor there = front.positions[0].unsqueeze(2).expand_as(found);
  CHECK((found - expected.gather(1, there)).abs().max().item<double>() < 1e-10);
}

TEST_CASE("pairs: two rows of ids and lengths an example") {
  const Copy copy("lra_release/lra_release/tsv_data");
  const data::Dataset val = data::open_task("retrieval", copy.options())->open(data::Split::val);
  const std::vector<int64_t> rows = {3, 0, 5};
  const Batch batch = make_batch(val, rows, 0, c10::kCPU);
  CHECK(batch.ids.size(0) == 2);
  CHECK(batch.ids.size(1) == 3);
  for (const int64_t s : {0, 1}) {
    for (size_t b = 0; b < rows.size(); ++b) {
      const auto bytes = val.bytes(rows[b], s);
      const auto place = static_cast<int64_t>(b);
      CHECK(batch.lengths[s][place].item<int64_t>() == static_cast<int64_t>(bytes.size()));
      const auto ids = numbers(batch.ids[s][place]);
      CHECK(ids[0] == bytes[0] + 1);
      CHECK(std::all_of(ids.begin() + static_cast<std::ptrdiff_t>(bytes.size()), ids.end(),
                        [](int64_t id) { return id == 0; }));
    }
  }
  CHECK(count_tokens(val, rows) == batch.lengths.sum().item<int64_t>());
}
