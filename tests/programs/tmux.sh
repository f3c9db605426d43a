#!/bin/bash
# tmux: a server with panes, whose shells run under the library too.
set -u
. "$(dirname "$0")/lib"
needs tmux
cat >panes.sh <<'END'
tmux() { command tmux -S "$PWD/tmux.sock" -f /dev/null "$@"; }
export TERM=screen PS1='$ ' SHELL=/bin/sh
waits() { # PANE TEXT
    for _ in $(seq 400); do
        tmux capture-pane -p -S - -t "$1" | grep -qx "$2" && return
        sleep 0.05
    done
    echo "$1 shows no $2"
}
tmux new-session -d -x 100 -y 30 'exec /bin/sh'
for pane in 1 2 3; do tmux split-window -t 0 'exec /bin/sh' && tmux select-layout tiled; done
for pane in 0 1 2 3; do tmux send-keys -t :.$pane "seq $((pane + 1)) $((pane + 2000)); echo end-$pane" Enter; done
for pane in 0 1 2 3; do
    waits :.$pane end-$pane
    tmux capture-pane -p -S -1500 -t :.$pane | grep -xE '[0-9]+' | sha256sum
done
tmux set-buffer "$(seq 3000)" && tmux show-buffer | sha256sum
tmux list-panes -F '#{pane_index} #{pane_width} #{pane_height}'
tmux resize-window -x 150 -y 50
tmux list-panes -F '#{pane_index} #{pane_width} #{pane_height}'
server=$(tmux display-message -p '#{pid}')
tmux kill-server
for _ in $(seq 200); do
    kill -0 "$server" 2>/dev/null || exit 0
    sleep 0.05
done
echo 'the server still runs'
END
in_modes 'off sample exact' tmux bash panes.sh
did tmux 0 '^0 49 14$' '^3 75 25$'
! grep -q 'shows no' tmux.plain.out || fail "tmux: $(cat tmux.plain.out)"
exit $bad
