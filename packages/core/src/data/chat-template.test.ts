import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tokenizerFromJSON, trainBpe } from "./bpe.js";
import {
  type ChatMessage,
  type ChatTemplate,
  chatMLTemplate,
  chatMLTokens,
  encodeChat,
  type RenderChatOptions,
  renderChat,
} from "./chat-template.js";
import { tokenizerFiles } from "./testing/tokenizer-files.js";

const named = (template: string): ChatTemplate => ({
  template,
  name: "of tiny-model",
  bosToken: "<s>",
  eosToken: "</s>",
});
const render = (template: string, messages: ChatMessage[] = [], options?: RenderChatOptions) =>
  renderChat(named(template), messages, options);

const chat: ChatMessage[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "2 + 2?" },
  { role: "assistant", content: "4" },
  { role: "user", content: "Sure?" },
];

/** Llama 2's and Qwen's published forms, shortened. */
const llama2Template = `{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') + message['content'] | trim + ' [/INST]' }}{% else %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}`;
const toolsTemplate = `{%- if tools %}{{- '<tools>' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}{{- '</tools>' }}{%- endif %}
{%- for message in messages %}{{- message.role + ':' + (message.content or '') }}{%- for call in message.tool_calls or [] %}{{- call.function.name }}{{- call.function.arguments | tojson }}{%- endfor %}{%- endfor %}`;

describe("rendering", () => {
  test("ChatML", () => {
    const text =
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n";
    expect(render(chatMLTemplate, chat)).toBe(text);
    expect(render(chatMLTemplate, chat, { addGenerationPrompt: true })).toBe(
      `${text}<|im_start|>assistant\n`,
    );
  });

  test("Llama 2's template with its tokens", () => {
    expect(render(llama2Template, chat)).toBe(
      "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n2 + 2? [/INST] 4 </s><s>[INST] Sure? [/INST]",
    );
  });

  test("tools and calls of tools", () => {
    const tools = [{ type: "function", function: { name: "add", parameters: {} } }];
    const messages: ChatMessage[] = [
      { role: "user", content: "2+2" },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ type: "function", function: { name: "add", arguments: { a: 2 } } }],
      },
    ];
    expect(render(toolsTemplate, messages, { tools })).toBe(
      '<tools>{"type": "function", "function": {"name": "add", "parameters": {}}}</tools>user:2+2assistant:add{"a": 2}',
    );
    expect(render(toolsTemplate, messages.slice(0, 1))).toBe("user:2+2");
  });

  test("a model's own tokens, and the date that is given", () => {
    const tokenizer = tokenizerFromJSON(tokenizerFiles["Llama 2"]);
    const model = {
      tokenizer,
      endTokens: [2],
      chatTemplate: "{{ bos_token }}{{ eos_token }}{{ strftime_now('%d %b %Y') }}",
    };
    expect(renderChat(model, [])).toBe("<s></s>26 Jul 2024");
    expect(renderChat(model, [], { date: new Date("2031-01-02T23:59:00Z") })).toBe("<s></s>02 Jan 2031");
  });

  test("more variables", () => {
    const template = "{{ 'on' if enable_thinking is defined and enable_thinking else 'off' }}";
    expect(render(template)).toBe("off");
    expect(render(template, [], { variables: { enable_thinking: true } })).toBe("on");
  });
});

describe("refusals name the template", () => {
  test.each<[string, string, string]>([
    [
      "the template's own",
      llama2Template,
      "the chat template of tiny-model refuses the messages: Conversation roles must alternate",
    ],
    ["a template that is not well-formed", "{% for %}", "the chat template of tiny-model cannot be used"],
    ["an open bracket", "{{ (".repeat(50_000), "the chat template of tiny-model cannot be used"],
    ["what reaches for code", "{{ messages.constructor('return process')() }}", "not a function"],
    ["a file", "{% include '/etc/passwd' %}", "Unknown statement type: include"],
    ["a long range", "{% for i in range(10000000000) %}x{% endfor %}", "a list of more than 100000"],
    [
      "text that doubles",
      "{% set n = namespace(s='xx') %}{% for i in range(90) %}{% set n.s = n.s + n.s %}{% endfor %}",
      "more than 4194304 characters",
    ],
    [
      "a list that doubles",
      "{% set n = namespace(s=[1]) %}{% for i in range(90) %}{% set n.s = n.s + n.s %}{% endfor %}",
      "a list of more than 100000",
    ],
    [
      "an indentation without end",
      "{{ 'x\ny' | indent(4000000000) }}",
      "the chat template of tiny-model cannot be used",
    ],
    [
      "a macro that calls itself",
      "{% macro f(f) %}{{ f(f) }}{% endmacro %}{{ f(f) }}",
      "the chat template of tiny-model cannot be used",
    ],
    ["a stray break", "{% break %}", "a statement stands where it may not"],
    ["a long template", "x".repeat(2 ** 20 + 1), "the chat template of tiny-model has 1048577 characters"],
  ])("%s", (_, template, message) => {
    expect(() => render(template, [{ role: "assistant", content: "4" }])).toThrowError(
      expect.objectContaining({
        name: "UserError",
        message: expect.stringContaining(message),
      }),
    );
  });

  test("a template that takes too long is stopped", () => {
    const loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
    const start = performance.now();
    expect(() => render(loop)).toThrow(
      "the chat template of tiny-model cannot be used: it takes longer than 2 seconds",
    );
    expect(performance.now() - start).toBeLessThan(8000);
  });

  test("roles that are not known, and a model without a template", () => {
    const message = { role: "oracle", content: "" } as unknown as ChatMessage;
    expect(() => render(chatMLTemplate, [chat[0], message])).toThrow(
      'message 2 has role "oracle", expected one of system',
    );
    const tokenizer = trainBpe([], { vocabularySize: 256, specialTokens: [] });
    expect(() => renderChat({ tokenizer, endTokens: [] }, chat)).toThrow("the model has no chat template");
  });

  test("any text as a template gives a text or a UserError", () => {
    const parts = fc.constantFrom(
      ..."{% {{ }} %} for in if else endif endfor ( ) [ ] ' \" | . : , == + ~ messages 1 x {# #} macro set -".split(
        " ",
      ),
      " ",
      "\n",
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 12 }), (words) => {
        try {
          expect(typeof render(words.join(" "), chat)).toBe("string");
        } catch (error) {
          expect(error).toMatchObject({ name: "UserError" });
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("the mask of what the assistant says", () => {
  const chatML = trainBpe(["hello there, I am well"], { vocabularySize: 280, specialTokens: chatMLTokens });
  const models = {
    ChatML: { tokenizer: chatML, endTokens: [1], chatTemplate: chatMLTemplate },
    Qwen2: {
      tokenizer: tokenizerFromJSON(tokenizerFiles.Qwen2),
      endTokens: [2],
      chatTemplate: chatMLTemplate,
    },
    "Llama 2": {
      tokenizer: tokenizerFromJSON(tokenizerFiles["Llama 2"]),
      endTokens: [2],
      chatTemplate: llama2Template,
    },
    "Mistral's tokenizer": {
      tokenizer: tokenizerFromJSON(tokenizerFiles.Mistral),
      endTokens: [2],
      chatTemplate: llama2Template,
    },
  };
  const said = fc.stringMatching(/^[a-z][a-z ,.]{0,12}[a-z]$/);
  const turns = fc.array(fc.tuple(said, said), { minLength: 1, maxLength: 3 });

  test.each(Object.entries(models))(
    "%s: exactly the answers with the tokens that end them",
    (name, model) => {
      fc.assert(
        fc.property(turns, (turns) => {
          const messages = turns.flatMap(([user, assistant]): ChatMessage[] => [
            { role: "user", content: user },
            { role: "assistant", content: assistant },
          ]);
          const { ids, mask } = encodeChat(model, messages);
          expect(ids).toEqual(model.tokenizer.encode(renderChat(model, messages)));
          const learned = model.tokenizer.decode(ids.filter((_, i) => mask[i] === 1));
          const expected = turns.map(([, assistant]) =>
            model.chatTemplate === chatMLTemplate ? `${assistant}<|im_end|>` : ` ${assistant} </s>`,
          );
          // SentencePiece's decoding takes away the first space.
          expect(learned).toBe(
            name.includes("L") && model.chatTemplate === llama2Template
              ? expected.join("").slice(1)
              : expected.join("").replace(/^ /, ""),
          );
        }),
        { numRuns: 50 },
      );
    },
  );

  test("a template that ends answers by a line break: the line break is learned", () => {
    const model = {
      tokenizer: chatML,
      endTokens: [],
      chatTemplate:
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
    };
    const { ids, mask } = encodeChat(model, chat);
    expect(chatML.decode(ids.filter((_, i) => mask[i] === 1))).toBe(" 4\n");
  });

  test("a template that drops what was said before is refused", () => {
    const model = {
      tokenizer: chatML,
      endTokens: [],
      chatTemplate: "{% for m in messages %}{{ m.content if loop.last else '-' }}{% endfor %}",
    };
    expect(() => encodeChat(model, chat)).toThrow("renders message 3 otherwise when others follow it");
  });
});
