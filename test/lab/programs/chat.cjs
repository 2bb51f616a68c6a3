/**
 * In a chat room: says its second argument once and ends, or, without one, prints what it hears and
 * connects again whenever the connection is lost.
 */
const [url, text] = process.argv.slice(2)

function listen() {
  const socket = new WebSocket(url)
  socket.onmessage = ({ data }) => console.log(data)
  socket.onclose = () => setTimeout(listen, 100)
}

if (text === undefined) listen()
else {
  const socket = new WebSocket(url)
  socket.onopen = () => socket.send(text)
  socket.onmessage = ({ data }) => data === text && process.exit(0)
  socket.onclose = () => process.exit(1)
  setTimeout(() => process.exit(1), 3_000)
}
