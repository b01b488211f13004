// Keypoints of a gray photograph (binary PGM, 8 bits) with an exported file: features exported/xfeat-sparse.onnx a.pgm
// Made by `xfeat export-model exported/ --with sparse` (.onnx) or with `--format openvino` (.xml); OpenVINO reads both.
#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <vector>

int main(int count, char** arguments) {
    if (count != 3) return std::cerr << "features MODEL PHOTO.pgm\n", 2;
    std::ifstream file(arguments[2], std::ios::binary);
    std::string magic;
    size_t width = 0, height = 0, largest = 0;
    file >> magic >> width >> height >> largest;
    if (!file || magic != "P5" || largest != 255) return std::cerr << arguments[2] << ": not a binary PGM of 8 bits\n", 2;
    std::vector<unsigned char> pixels(width * height);
    file.get();
    file.read(reinterpret_cast<char*>(pixels.data()), pixels.size());

    ov::Tensor image(ov::element::f32, {1, 1, height, width});
    for (size_t i = 0; i < pixels.size(); ++i) image.data<float>()[i] = pixels[i] / 255.0f;
    ov::Core core;  // without the hint, processors that multiply bfloat16 would use it, and keypoints move by 0.02 px
    auto exact = ov::hint::inference_precision(ov::element::f32);
    ov::InferRequest request = core.compile_model(arguments[1], "CPU", exact).create_infer_request();
    request.set_input_tensor(image);
    request.infer();
    const float* keypoints = request.get_output_tensor(0).data<const float>();
    ov::Tensor scores = request.get_output_tensor(1);
    for (size_t i = 0; i < scores.get_size(); ++i)
        if (scores.data<const float>()[i] > 0)
            std::cout << keypoints[2 * i] << ' ' << keypoints[2 * i + 1] << ' ' << scores.data<const float>()[i] << '\n';
}
