/**
 * Asks for URLs again and again over kept connections, and says at the end (its stdin is closed)
 * how many answers there were and what went wrong: a line of JSON. Arguments: connections, URLs.
 */
const http = require('node:http')

const [connections, ...urls] = process.argv.slice(2)
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(connections) })
let goesOn = true
let answered = 0
const failures = []
/** Bodies, by how often they came. */
const heard = {}

function ask(url) {
  return new Promise((resolve) => {
    const asked = http.get(url, { agent }, (answer) => {
      let text = ''
      answer.on('data', (chunk) => {
        text += chunk
      })
      answer.once('end', () => {
        if (answer.statusCode === 200) answered += 1
        else failures.push(`${answer.statusCode} ${text}`)
        heard[text] = (heard[text] ?? 0) + 1
        resolve()
      })
      answer.once('error', (error) => {
        failures.push(`broken off: ${error.message}`)
        resolve()
      })
    })
    asked.once('error', (error) => {
      failures.push(error.message)
      resolve()
    })
  })
}

async function one() {
  for (let i = 0; goesOn; i++) await ask(urls[i % urls.length])
}

process.stdin.resume()
process.stdin.once('end', () => {
  goesOn = false
})
Promise.all(Array.from({ length: Number(connections) }, one)).then(() => {
  console.log(
    JSON.stringify({ answered, failures: failures.slice(0, 20), failed: failures.length, heard }),
  )
  process.exit(0)
})
console.error('begun')
