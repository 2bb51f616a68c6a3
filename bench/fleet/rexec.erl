%% erpc + os:cmd("true") on another VM, timed one at a time for whoever writes "go".
-module(rexec).
-export([server/0, client/1]).

server() -> receive stop -> ok end.

client([Server]) ->
  Node = list_to_atom(Server),
  pong = net_adm:ping(Node),
  io:format("ready~n"),
  loop(Node).

loop(Node) ->
  case io:get_line("") of
    eof -> halt();
    _ ->
      T = erlang:monotonic_time(nanosecond),
      erpc:call(Node, os, cmd, ["true"]),
      io:format("~p~n", [erlang:monotonic_time(nanosecond) - T]),
      loop(Node)
  end.
