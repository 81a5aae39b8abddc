# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Tables of scripts/sweep.sh, from the JSON line and the log that each cell left. Sourced, never run.

# json_number FILE PATTERN: the first number after PATTERN in the one line that lotformer-train --json prints, or nothing.
json_number() { grep -o "$2[-+.0-9e]*" "$1" | head -n 1 | grep -o '[-+.0-9e]*$' || true; }
json_text() { grep -o "\"$2\":\"[^\"]*\"" "$1" | head -n 1 | cut -d'"' -f4 || true; }

# outcome CELL CODE: one phrase about a finished or failed cell.
outcome() {
  if (($2 == 0)); then
    echo "test $(awk -v a="$(json_number "$1.json" '"test":{"accuracy":')" 'BEGIN { printf "%.2f %%", 100 * a }')$(grep -q 'this run is finished' "$1.log" && echo ' (was finished)')"
  else
    echo "FAILED with exit code $2: $(tail -n 1 "$1.log")"
  fi
}

# write_tables OUT: reads OUT/.cells (task, kind, seed, code, cell) and writes cells.csv, summary.csv and summary.md.
write_tables() {
  local task kind seed code cell name
  echo "task,attention,seed,exit_code,test_accuracy,test_loss,last_test_accuracy,val_accuracy,steps,data_origin,protocol,test_examples" >"$1/cells.csv"
  while IFS=$'\t' read -r task kind seed code cell; do
    if ((code == 0)); then
      # A variant has a name of its own in its results, and so has its row.
      name=$(json_text "$cell.json" attention)
      echo "$task,${name:-$kind},$seed,0,$(json_number "$cell.json" '"test":{"accuracy":'),$(json_number "$cell.json" '"test":{"accuracy":[^,]*,"loss":'),$(
        sed 's/.*"last":{//' "$cell.json" | grep -o '"test":{"accuracy":[-+.0-9e]*' | head -n 1 | grep -o '[-+.0-9e]*$'),$(
        json_number "$cell.json" '"val":{"accuracy":'),$(json_number "$cell.json" '"steps":'),$(json_text "$cell.json" data_origin),$(
        json_text "$cell.json" protocol),$(json_number "$cell.json" '"test":{"accuracy":[^}]*"examples":')"
    else
      echo "$task,$kind,$seed,$code,,,,,,,,"
    fi
  done <"$1/.cells" >>"$1/cells.csv"
  summarise_cells "$1/cells.csv" csv >"$1/summary.csv"
  { summarise_cells "$1/cells.csv" markdown; list_failures "$1"; } >"$1/summary.md"
}

# summarise_cells CSV csv|markdown: mean, sample standard deviation and number of the finished seeds of every (task, attention).
summarise_cells() {
  awk -F, -v style="$2" '
    NR == 1 { next }
    { key = $1 "," $2; if (!(key in seen)) { seen[key] = 1; order[++count] = key } }
    $4 != 0 { failures[key]++; next }
    { n[key]++; sum[key] += $5; squares[key] += $5 * $5; loss[key] += $6; last[key] += $7; steps[key] = $9; origin[key] = $10; protocol[key] = $11; examples[key] = $12 }
    END {
      if (style == "csv") print "task,attention,mean_test_accuracy,deviation,n,mean_test_loss,mean_last_test_accuracy,failed,steps,data_origin,protocol,test_examples"
      else { print "| task | attention | test accuracy, % (best checkpoint) | deviation | n | test loss | last step, % | failed | steps | data | protocol | test examples |"
             print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |" }
      for (i = 1; i <= count; ++i) {
        key = order[i]; split(key, part, ","); m = n[key]
        mean = m ? sum[key] / m : 0; variance = m > 1 ? (squares[key] - m * mean * mean) / (m - 1) : 0; deviation = variance > 0 ? sqrt(variance) : 0
        if (style == "csv") printf("%s,%s,%s,%s,%d,%s,%s,%d,%s,%s,%s,%s\n", part[1], part[2], m ? mean : "", m > 1 ? deviation : "", m, m ? loss[key] / m : "", m ? last[key] / m : "", failures[key], steps[key], origin[key], protocol[key], examples[key])
        else printf("| %s | %s | %s | %s | %d | %s | %s | %d | %s | %s | %s | %s |\n", part[1], part[2], m ? sprintf("%.2f", 100 * mean) : "-", m > 1 ? sprintf("%.2f", 100 * deviation) : "-", m, m ? sprintf("%.4f", loss[key] / m) : "-", m ? sprintf("%.2f", 100 * last[key] / m) : "-", failures[key], steps[key], origin[key], protocol[key], examples[key])
      }
    }' "$1"
}

list_failures() {
  local task kind seed code cell any=0
  while IFS=$'\t' read -r task kind seed code cell; do
    ((code == 0)) && continue
    ((any++)) || printf '\nFailures\n\n| task | attention | seed | exit code | last line |\n| --- | --- | --- | --- | --- |\n'
    printf '| %s | %s | %s | %s | %s |\n' "$task" "$kind" "$seed" "$code" "$(tail -n 1 "$cell.log" | tr '|' '/')"
  done <"$1/.cells"
  return 0
}
