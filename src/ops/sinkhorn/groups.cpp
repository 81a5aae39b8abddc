// SPDX-License-Identifier: MIT
#include "groups.h"

#include <algorithm>

#include "lotformer/ops/lengths.h"

namespace lotformer::ops::sinkhorn {
namespace {

/// Heads of one sequence, whose rows and columns have the given numbers of tokens.
void add_sequence(std::vector<Group>& groups, int64_t first, int64_t heads, int64_t rows, int64_t columns,
                  int64_t together) {
  for (int64_t h = 0; h < heads; h += together) {
    Group group{};
    group.first = first + h;
    group.count = std::min(together, heads - h);
    group.tokens[0] = rows;
    group.tokens[1] = columns;
    groups.push_back(group);
  }
}

std::vector<Group> groups_by_sequence(const at::Tensor& q, const at::Tensor& lengths,
                                      const Grouping& grouping) {
  const int64_t heads = q.size(1), tokens = q.size(2);
  const at::Tensor host = lengths.defined() ? lengths.cpu() : lengths;
  std::vector<Group> groups;
  for (int64_t b = 0; b < q.size(0); ++b) {
    const int64_t real = host.defined() ? std::clamp<int64_t>(host[b].item<int64_t>(), 0, tokens) : tokens;
    if (real == 0 && !grouping.padded_queries) continue;
    const int64_t columns = real == 0 ? tokens : real;
    const int64_t rows = grouping.padded_queries ? tokens : real;
    const int64_t together =
        grouping.single ? 1 : std::clamp<int64_t>(tile_entries(q) / (rows * columns), 1, heads);
    add_sequence(groups, b * heads, heads, rows, columns, together);
  }
  return groups;
}

Group whole_batch(const at::Tensor& q, const at::Tensor& lengths, bool padded_queries) {
  Group group{};
  group.count = q.size(0) * q.size(1);
  group.tokens[0] = group.tokens[1] = q.size(2);
  if (!lengths.defined()) return group;
  const at::Tensor mask = length_mask(lengths, q.size(2));
  const auto spread = [&](const at::Tensor& x) { return x.repeat_interleave(q.size(1), 0); };
  const at::Tensor absent = spread(fill_empty_sequences(mask).logical_not());
  const at::Tensor padding = padded_queries ? absent : spread(mask.logical_not());
  for (int side = padded_queries ? 1 : 0; side < 2; ++side) {
    group.padding[side] = padding;
    group.absent[side] = absent;
  }
  return group;
}

}  // namespace

at::Tensor Group::take(const at::Tensor& x, int side) const {
  const at::Tensor part = x.narrow(0, first, count).narrow(1, 0, tokens[side]);
  if (!padding[side].defined()) return part.contiguous();
  return part.masked_fill(padding[side].unsqueeze(-1), 0).contiguous();
}

void Group::put(at::Tensor& x, const at::Tensor& part, int side) const {
  const at::Tensor target = x.narrow(0, first, count).narrow(1, 0, tokens[side]);
  target.copy_(padding[side].defined() ? part.masked_fill(padding[side].unsqueeze(-1), 0) : part);
}

std::vector<Group> make_groups(const at::Tensor& q, const at::Tensor& lengths, const Grouping& grouping) {
  if (q.numel() == 0) return {};
  if (grouping.by_sequence) return groups_by_sequence(q, lengths, grouping);
  return {whole_batch(q, lengths, grouping.padded_queries)};
}

}  // namespace lotformer::ops::sinkhorn
